"""Client of face_recognizer over gRPC."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from face_assets.core.direct_connections import GRPC_OPTIONS
from face_assets.core.errors import UserError

RECOGNIZER = "face_recognizer"
SECONDS_TO_CONNECT = 3.0  # in which a gateway, or a server without one, restarts
RECONNECT = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.min_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]
NOT_SENT = "failed to connect"
OUTPUTS = ("BOXES", "PROBABILITIES", "EMBEDDINGS", "IDENTITY", "SCORE", "ACCEPTED", "RELEASE")
SECONDS = 60.0
INTERNAL = "face_assets_probe"  # with the server's token, a request is not counted as traffic


@dataclass(frozen=True)
class Face:
    """A face. box: float32 (4,), x1 y1 x2 y2; identity: "" where rejected; score: cosine to the nearest one; embedding: float32 (d,)."""

    box: npt.NDArray[np.float32]
    probability: float
    identity: str
    score: float
    accepted: bool
    embedding: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Answer:
    """The faces of a photo, the subject's first, and the release that found them."""

    faces: list[Face]
    release: str


class RecognizerClient:
    """Sends requests to one server. `model`: another than the live recognizer, for the deployment check. `internal_token`: with the
    server's token, the requests are not counted as traffic."""

    def __init__(
        self,
        address: str,
        model: str = RECOGNIZER,
        seconds: float = SECONDS,
        internal_token: str | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ):
        self.address = address
        self.model = model
        self.seconds = seconds
        self.parameters = {INTERNAL: internal_token} if internal_token else None
        self.headers = {**(headers or {}), **({"authorization": f"Bearer {key}"} if key else {})} or None

    @cached_property
    def _client(self) -> Any:
        from tritonclient.grpc import InferenceServerClient

        return InferenceServerClient(self.address, channel_args=[*GRPC_OPTIONS, *RECONNECT])

    def require_ready(self) -> None:
        """Raises UserError where no server responds, or nothing is live on it."""
        from tritonclient.utils import InferenceServerException

        try:
            ready = self._client.is_server_ready(headers=self.headers, client_timeout=5.0) and self._client.is_model_ready(
                self.model, headers=self.headers, client_timeout=5.0
            )
        except InferenceServerException as error:
            raise UserError(f"No server responds at {self.address}: `face-assets up` starts it.") from error
        if not ready:
            raise UserError(f"The server at {self.address} has nothing live: `face-assets run`, or `face-assets up`.")

    def identify(self, photo: bytes) -> Answer:
        """Identifies the people in an encoded photo. Raises UserError with the server's message."""
        from tritonclient.grpc import InferInput

        image = InferInput("IMAGE", [1], "BYTES")
        image.set_data_from_numpy(np.array([photo], dtype=np.object_))
        result = self._infer(image)
        boxes, probabilities, embeddings, identities, scores, accepted, release = (result.as_numpy(name) for name in OUTPUTS)
        faces = [
            Face(box, float(probability), identity.decode(), float(score), bool(taken), embedding)
            for box, probability, identity, score, taken, embedding in zip(
                boxes, probabilities, identities, scores, accepted, embeddings, strict=True
            )
        ]
        return Answer(faces, release[0].decode())

    def _infer(self, image: Any) -> Any:
        """Sends a request and returns its result. Raises UserError. It is not sent again: it may have ended the server."""
        from tritonclient.grpc import InferRequestedOutput
        from tritonclient.utils import InferenceServerException

        outputs = [InferRequestedOutput(name) for name in OUTPUTS]
        ends = time.monotonic() + SECONDS_TO_CONNECT
        while True:
            try:
                return self._client.infer(
                    self.model, [image], outputs=outputs, headers=self.headers, client_timeout=self.seconds, parameters=self.parameters
                )
            except InferenceServerException as error:
                if NOT_SENT not in str(error.message()) or time.monotonic() > ends:
                    raise UserError(_sentence(error)) from error
                time.sleep(0.2)

    @cached_property
    def _parameters(self) -> dict[str, str]:
        config = self._client.get_model_config(self.model, headers=self.headers, client_timeout=self.seconds).config
        return {name: value.string_value for name, value in config.parameters.items()}

    def live_release(self) -> str:
        """Returns the release that is live."""
        return self._parameters["release"]

    def verification_threshold(self) -> float:
        """Returns the cosine from which two photos show one person."""
        return float(self._parameters["verification_threshold"])


def _sentence(error: Any) -> str:
    message = str(error.message()).strip()
    return message.partition("message: ")[2] or message
