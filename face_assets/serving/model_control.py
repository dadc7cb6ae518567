"""Control of Triton's models: loading, unloading, and the versions that are ready."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from face_assets.core.direct_connections import GRPC_OPTIONS
from face_assets.core.errors import UserError
from face_assets.serving.triton_server import Address

KEY_HEADER = "triton-grpc-protocol-face-assets-key"
SECONDS_TO_LOAD = 120.0
SECONDS_TO_DRAIN = 30.0
SECONDS_TO_ANSWER = 10.0


class ModelControl:
    """Model control over gRPC, with the platform's key."""

    def __init__(self, address: Address):
        from tritonclient.grpc import InferenceServerClient

        self._client = InferenceServerClient(f"{address.host}:{address.ports.grpc}", channel_args=list(GRPC_OPTIONS))
        self._headers = {KEY_HEADER: address.key}

    def load(self, *names: str) -> None:
        """Loads models by their config.pbtxt, all at once, since most of the time is Python's start. Raises UserError."""
        if names:
            with ThreadPoolExecutor(len(names)) as pool:
                list(pool.map(self._load, names))

    def _load(self, model: str) -> None:
        from tritonclient.utils import InferenceServerException

        try:
            self._client.load_model(model, headers=self._headers, client_timeout=SECONDS_TO_LOAD)
        except InferenceServerException as error:
            raise UserError(f"Triton cannot load {model}: {error.message()}") from error

    def unload(self, model: str, wait: bool = True) -> None:
        """Unloads a model that is loaded, and waits until its processes are gone."""
        from tritonclient.utils import InferenceServerException

        if self.loaded(model):
            try:
                self._client.unload_model(model, headers=self._headers, client_timeout=SECONDS_TO_LOAD)
            except InferenceServerException as error:
                raise UserError(f"Triton cannot unload {model}: {error.message()}") from error
        ends = time.monotonic() + SECONDS_TO_DRAIN
        while wait and self._versions(model) and time.monotonic() < ends:
            time.sleep(0.05)

    def loaded(self, model: str) -> list[int]:
        """Returns the versions that are ready, in order."""
        return sorted(number for number, state in self._versions(model).items() if state == "READY")

    def is_loaded(self, model: str, number: int) -> bool:
        """Returns True where a version is ready."""
        return number in self.loaded(model)

    def wait_for_drain(self, model: str, number: int) -> None:
        """Waits until every other version has completed its last request."""
        ends = time.monotonic() + SECONDS_TO_DRAIN
        while set(self._versions(model)) - {number} and time.monotonic() < ends:
            time.sleep(0.05)

    def _versions(self, model: str) -> dict[int, str]:
        """Returns the states of the loaded versions. Raises UserError where the server has died."""
        from tritonclient.utils import InferenceServerException

        try:
            index: Any = self._client.get_model_repository_index(headers=self._headers, client_timeout=SECONDS_TO_ANSWER)
        except InferenceServerException as error:
            raise UserError(f"The Triton server does not respond: {error.message()}; `face-assets up` starts it.") from error
        return {
            int(one.version): one.state
            for one in index.models
            if one.name == model and one.version and one.state in ("READY", "LOADING", "UNLOADING")
        }
