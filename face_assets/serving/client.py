"""Client of face_recognizer over gRPC: one photo to the people in it, or several photos of one person to that person."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from face_assets.core.direct_connections import GRPC_OPTIONS
from face_assets.core.errors import UserError
from face_assets.serving.runtime.photos_of_person import pack_photos

RECOGNIZER = "face_recognizer"
SECONDS_TO_CONNECT = 3.0  # in which a gateway, or a server without one, restarts
RECONNECT = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.min_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]
NOT_SENT = "failed to connect"
SECONDS = 60.0
INTERNAL = "face_assets_probe"  # with the server's token, a request is not counted as traffic


@dataclass(frozen=True)
class Face:
    """A face. box: float32 (4,), x1 y1 x2 y2; identity: "" where rejected; score: cosine to the nearest one; embedding: float32 (d,).

    embedding: empty where the key lacks the right `embeddings`. quality: 0 to 100, None by a release that has none; too_poor: rejected, and
    too poor to tell whether the person is enrolled.
    """

    box: npt.NDArray[np.float32]
    probability: float
    identity: str
    score: float
    accepted: bool
    embedding: npt.NDArray[np.float32]
    quality: float | None = None
    too_poor: bool = False


@dataclass(frozen=True)
class Answer:
    """The faces of a photo, the subject's first, and the release that found them."""

    faces: list[Face]
    release: str


@dataclass(frozen=True)
class Subject:
    """The largest face of one of a person's photos. box: float32 (4,), x1 y1 x2 y2; quality: as of a Face."""

    box: npt.NDArray[np.float32]
    probability: float
    quality: float | None


@dataclass(frozen=True)
class Person:
    """One person by several photos, fused by quality, and the release that identified it.

    photos: the subject of each photo, None where it has no face. identity, score, accepted, too_poor, embedding: as of a Face; without any
    face, identity is "", score and embedding are None.
    """

    identity: str
    score: float | None
    accepted: bool
    too_poor: bool
    embedding: npt.NDArray[np.float32] | None
    photos: list[Subject | None]
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
        result = self._infer(photo)
        boxes, probabilities, embeddings = result.as_numpy("BOXES"), result.as_numpy("PROBABILITIES"), _embeddings(result)
        qualities, verdicts = _qualities(result, len(boxes)), _verdicts(result)
        rows = zip(boxes, probabilities, verdicts, embeddings, qualities, strict=True)
        faces = [
            Face(box, float(probability), verdict.identity, verdict.score, verdict.accepted, embedding, quality, verdict.too_poor)
            for box, probability, verdict, embedding, quality in rows
        ]
        return Answer(faces, _release(result))

    def identify_person(self, photos: Sequence[bytes]) -> Person:
        """Identifies one person by several encoded photos, the largest face of each. Raises UserError with the server's message, also where
        one of the photos is unusable, and ValueError without a photo."""
        if not photos:
            raise ValueError("a person is identified by one photo or more")
        if len(photos) == 1:
            return _of_one(self.identify(photos[0]))
        most = int(self._read_parameters().get("max_photos", "1"))
        if most == 1:
            old = "The release that is live was deployed by an earlier version, which takes one photo a request"
            raise UserError(f"{old}: `face-assets up` deploys it anew.")
        if len(photos) > most:
            raise UserError(f"{len(photos)} photos of one person are too many: a request takes {most}.")
        result = self._infer(pack_photos(photos))
        boxes, probabilities = result.as_numpy("BOXES"), result.as_numpy("PROBABILITIES")
        rows = zip(boxes, probabilities, _qualities(result, len(boxes)), strict=True)
        subjects = [None if math.isnan(probability) else Subject(box, float(probability), quality) for box, probability, quality in rows]
        for verdict in _verdicts(result):
            embedding = _embeddings(result)[0]
            return Person(verdict.identity, verdict.score, verdict.accepted, verdict.too_poor, embedding, subjects, _release(result))
        return Person("", None, False, False, None, subjects, _release(result))

    def _infer(self, content: bytes) -> Any:
        """Sends a request and returns all outputs. Raises UserError. It is not sent again: it may have ended the server."""
        from tritonclient.grpc import InferInput
        from tritonclient.utils import InferenceServerException

        image = InferInput("IMAGE", [1], "BYTES")
        image.set_data_from_numpy(np.array([content], dtype=np.object_))
        ends = time.monotonic() + SECONDS_TO_CONNECT
        while True:
            try:
                return self._client.infer(
                    self.model, [image], headers=self.headers, client_timeout=self.seconds, parameters=self.parameters
                )
            except InferenceServerException as error:
                if NOT_SENT not in str(error.message()) or time.monotonic() > ends:
                    raise UserError(_sentence(error)) from error
                time.sleep(0.2)

    @cached_property
    def _parameters(self) -> dict[str, str]:
        return self._read_parameters()

    def _read_parameters(self) -> dict[str, str]:
        """Returns the parameters of the live release. Raises UserError."""
        from tritonclient.utils import InferenceServerException

        try:
            config = self._client.get_model_config(self.model, headers=self.headers, client_timeout=self.seconds).config
        except InferenceServerException as error:
            raise UserError(_sentence(error)) from error
        return {name: value.string_value for name, value in config.parameters.items()}

    def live_release(self) -> str:
        """Returns the release that is live."""
        return self._parameters["release"]

    def verification_threshold(self) -> float:
        """Returns the cosine from which two photos show one person."""
        return float(self._parameters["verification_threshold"])


@dataclass(frozen=True)
class _Verdict:
    identity: str
    score: float
    accepted: bool
    too_poor: bool


def _verdicts(result: Any) -> list[_Verdict]:
    identities, scores, accepted = (result.as_numpy(name) for name in ("IDENTITY", "SCORE", "ACCEPTED"))
    poor = result.as_numpy("TOO_POOR")  # None by a server of earlier versions
    poor = np.zeros(len(identities), bool) if poor is None else poor
    rows = zip(identities, scores, accepted, poor, strict=True)
    return [_Verdict(identity.decode(), float(score), bool(taken), bool(bad)) for identity, score, taken, bad in rows]


def _embeddings(result: Any) -> npt.NDArray[np.float32]:
    found = result.as_numpy("EMBEDDINGS")  # None where the key may not receive them
    return np.empty((len(result.as_numpy("SCORE")), 0), np.float32) if found is None else found


def _qualities(result: Any, rows: int) -> list[float | None]:
    quality = result.as_numpy("QUALITY")  # None by a server of earlier versions
    return [None] * rows if quality is None else [float(one) if math.isfinite(one) else None for one in quality]


def _release(result: Any) -> str:
    return str(result.as_numpy("RELEASE")[0].decode())


def _of_one(answer: Answer) -> Person:
    """The person that the subject of one photo shows."""
    if not answer.faces:
        return Person("", None, False, False, None, [None], answer.release)
    face = answer.faces[0]
    photos: list[Subject | None] = [Subject(face.box, face.probability, face.quality)]
    return Person(face.identity, face.score, face.accepted, face.too_poor, face.embedding, photos, answer.release)


def _sentence(error: Any) -> str:
    message = str(error.message()).strip()
    return message.partition("message: ")[2] or message
