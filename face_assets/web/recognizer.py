"""The models of the live release, asked over gRPC in the event loop: no thread a request, and a request ends with its caller."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from fastapi import Request
from starlette.concurrency import run_in_threadpool

from face_assets.core.direct_connections import GRPC_OPTIONS
from face_assets.core.errors import UserError
from face_assets.serving.client import RECOGNIZER, RECONNECT
from face_assets.serving.model_repository import DETECTOR
from face_assets.serving.runtime.photos_of_person import pack_photos
from face_assets.serving.runtime.responses import BUSY, DROPPED, UNUSABLE
from face_assets.serving.runtime.use_record import CALLER as RECORDED_CALLER
from face_assets.web.caller import name_for_record
from face_assets.web.problems import WebError

SECONDS_TO_ASK = 3.0
SECONDS = 30.0
"""Time of a photo, as long as a release's server works on one."""
FOUND = ("BOXES", "PROBABILITIES", "LANDMARKS", "QUALITY", "TOO_POOR", "EMBEDDINGS", "IDENTITY", "SCORE", "ACCEPTED", "RELEASE")
DETECTED = ("BOXES", "PROBABILITIES", "LANDMARKS")
LEFT = 499
"""Status of a request whose caller has left, as nginx logs it; nobody reads it."""
Value = TypeVar("Value")
Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Endpoint:
    """Address and headers of a server over gRPC. token: the secret with which the platform states who calls; empty without one."""

    address: str
    headers: Mapping[str, str]
    token: str = ""


@dataclass(frozen=True)
class Live:
    """The live release. max_photos: of a person in a request; outputs: names of the recognizer's tensors; by earlier versions fewer."""

    release: str
    max_photos: int
    outputs: frozenset[str]


class Recognizer:
    """Client of the live models, for one event loop. endpoint: read at the first request, and again after a failure."""

    def __init__(self, endpoint: Callable[[], Endpoint]):
        self._endpoint = endpoint
        self._connection: tuple[Endpoint, Any] | None = None
        self._live: Live | None = None

    async def live(self) -> Live:
        """Returns the live release. Raises WebError where no server responds, or nothing is live on it."""
        config = (await self._call("get_model_config", RECOGNIZER, seconds=SECONDS_TO_ASK)).config
        most = config.parameters["max_photos"].string_value if "max_photos" in config.parameters else "1"
        self._live = Live(config.parameters["release"].string_value, int(most), frozenset(one.name for one in config.output))
        return self._live

    async def identify(self, photos: Sequence[bytes]) -> Arrays:
        """Returns the recognizer's outputs for a photo, or for several of one person: those of FOUND that the live release has.

        Raises WebError.
        """
        live = self._live or await self.live()
        if len(photos) > live.max_photos == 1:
            raise WebError(501, f"{live.release} looks at one photo at a time.", "not_supported")
        found = await self._infer(RECOGNIZER, pack_photos(photos), [name for name in FOUND if name in live.outputs])
        if found["RELEASE"][0].decode() != live.release:
            self._live = None  # another has become live, maybe with other outputs
        return found

    async def detect(self, photo: bytes) -> Arrays:
        """Returns the detector's outputs for a photo. Raises WebError."""
        return await self._infer(DETECTOR, photo, DETECTED)

    async def _infer(self, model: str, content: bytes, outputs: Sequence[str]) -> Arrays:
        from tritonclient.grpc import InferInput, InferRequestedOutput

        image = InferInput("IMAGE", [1], "BYTES")
        image.set_data_from_numpy(np.array([content], dtype=np.object_))
        asked = [InferRequestedOutput(name) for name in outputs]
        result = await self._call("infer", model, [image], outputs=asked, client_timeout=SECONDS, seconds=SECONDS + SECONDS_TO_ASK)
        return {name: result.as_numpy(name) for name in outputs}

    async def _call(self, method: str, *arguments: Any, seconds: float, **options: Any) -> Any:
        from tritonclient.utils import InferenceServerException

        server, client = self._connection or await self._connect()
        try:
            async with asyncio.timeout(seconds):
                if method == "infer" and server.token and (caller := name_for_record()):
                    options["parameters"] = {RECORDED_CALLER: f"{server.token} {caller}"}
                return await getattr(client, method)(*arguments, headers=dict(server.headers) or None, **options)
        except (InferenceServerException, TimeoutError) as error:
            reported = failure(error)
            if reported.code in ("server_down", "nothing_live"):
                # not closed: that would end other requests, and it ends with the last of them
                self._connection, self._live = None, None
            if reported.code == "fault":
                self._live = None  # its outputs may have changed
            raise reported from error

    async def _connect(self) -> tuple[Endpoint, Any]:
        """Connects to where the server is now. Several requests may do so at once; the last connection stays."""
        from tritonclient.grpc.aio import InferenceServerClient

        try:
            server = await run_in_threadpool(self._endpoint)  # it reads files, or asks the Docker engine
        except UserError as error:
            raise WebError(503, str(error), "server_down") from error
        self._connection = server, InferenceServerClient(server.address, channel_args=[*GRPC_OPTIONS, *RECONNECT])
        return self._connection

    async def close(self) -> None:
        """Closes the connection."""
        connection, self._connection = self._connection, None
        if connection:
            await connection[1].close()


def failure(error: Any) -> WebError:
    """Returns the error of a request to the server as one of the web service."""
    if isinstance(error, TimeoutError):
        return WebError(503, "The recognition server does not respond: `face-assets status` says more.", "server_down")
    status, message = str(error.status()), str(error.message()).strip()
    for beginning, code, word in ((UNUSABLE, 422, "unusable_photo"), (BUSY, 503, "busy"), (DROPPED, 503, "too_slow")):
        if beginning in message:
            return WebError(code, message[message.index(beginning) :], word)
    if "RESOURCE_EXHAUSTED" in status:
        return WebError(503, "The recognition server is busy: send the request again in a second.", "busy")
    if "DEADLINE_EXCEEDED" in status:
        return WebError(503, f"The recognition server did not answer within {SECONDS:g} s.", "too_slow")
    if "unknown model" in message or "is not ready" in message or "is not found" in message:
        return WebError(503, "No release is live on the recognition server: `face-assets run`, or `face-assets up`.", "nothing_live")
    if "UNAVAILABLE" in status or "CANCELLED" in status:
        return WebError(503, "The recognition server does not respond: `face-assets up` starts it.", "server_down")
    return WebError(502, "The recognition server failed; its log says why.", "fault")


async def while_connected(request: Request, work: Coroutine[Any, Any, Value]) -> Value:
    """Returns the result of `work`, which ends where the caller leaves meanwhile. The request's body must have been read."""
    working, left = asyncio.create_task(work), asyncio.create_task(_leaving(request))
    try:
        await asyncio.wait((working, left), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise WebError(LEFT, "The caller has left.", "left")
    finally:
        for task in (working, left):
            task.cancel()
        with suppress(asyncio.CancelledError, WebError):
            await working


async def _leaving(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
