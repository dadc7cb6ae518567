"""Internal listeners of the gateway: the platform's access, with its own key, to the live release or to one server by name."""

import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from face_assets.core.direct_connections import open_url
from face_assets.serving.client import RECOGNIZER, RecognizerClient
from face_assets.serving.containers.keys import Keys

HTTP, GRPC = 9000, 9001
SERVER = "face-assets-server"  # header with the name of one server, accepted with the platform's own key alone
READY = f"/v2/models/{RECOGNIZER}/ready"
SECONDS_TO_ANSWER = 2.0


@dataclass(frozen=True)
class InternalListeners:
    """address: the gateway's on the containers' network; folder: that of the keys; token: of questions that are no traffic."""

    address: str
    folder: Path
    token: str

    def client(self, server: str | None = None, seconds: float = 60.0, internal: bool = False) -> RecognizerClient:
        """Returns a client of the live release, or of one server whatever its share of the traffic."""
        key = Keys(self.folder).own()
        return RecognizerClient(
            f"{self.address}:{GRPC}",
            seconds=seconds,
            internal_token=self.token if internal else None,
            key=key,
            headers=self._headers(server),
        )

    def is_ready(self, server: str | None = None) -> bool:
        """Returns True where the recognizer that gets a request is loaded."""
        headers = {"Authorization": f"Bearer {Keys(self.folder).own()}", **self._headers(server)}
        try:
            with open_url(urllib.request.Request(f"http://{self.address}:{HTTP}{READY}", headers=headers), SECONDS_TO_ANSWER) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    @staticmethod
    def _headers(server: str | None) -> dict[str, str]:
        return {SERVER: server} if server else {}
