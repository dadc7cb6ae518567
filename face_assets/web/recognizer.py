"""The recognizer of the live release, asked over gRPC without a thread a request."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from face_assets.core.direct_connections import GRPC_OPTIONS
from face_assets.core.errors import UserError
from face_assets.serving.client import RECOGNIZER, RECONNECT
from face_assets.web.problems import WebError

SECONDS_TO_ASK = 3.0


@dataclass(frozen=True)
class Endpoint:
    """Address and headers of a server over gRPC."""

    address: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Live:
    """The live release. outputs: names of the recognizer's outputs, which releases of earlier versions have fewer of."""

    release: str
    verification_threshold: float
    identification_threshold: float
    outputs: frozenset[str]


class Recognizer:
    """Client of the live recognizer, for one event loop. `endpoint` is read at the first request. Raises WebError where that fails."""

    def __init__(self, endpoint: Callable[[], Endpoint]):
        self._endpoint = endpoint

    @cached_property
    def _client(self) -> Any:
        from tritonclient.grpc.aio import InferenceServerClient

        return InferenceServerClient(self._server.address, channel_args=[*GRPC_OPTIONS, *RECONNECT])

    @cached_property
    def _server(self) -> Endpoint:
        try:
            return self._endpoint()
        except UserError as error:
            raise WebError(503, str(error), "server_down") from error

    async def live(self) -> Live:
        """Returns the live release. Raises WebError where no server responds, or nothing is live on it."""
        from tritonclient.utils import InferenceServerException

        try:
            async with asyncio.timeout(SECONDS_TO_ASK):
                found = (await self._client.get_model_config(RECOGNIZER, headers=self._headers)).config
        except (InferenceServerException, TimeoutError) as error:
            raise failure(error) from error
        values = {name: value.string_value for name, value in found.parameters.items()}
        return Live(
            values["release"],
            float(values["verification_threshold"]),
            float(values["identification_threshold"]),
            frozenset(output.name for output in found.output),
        )

    @property
    def _headers(self) -> dict[str, str] | None:
        return dict(self._server.headers) or None

    async def close(self) -> None:
        """Closes the connection."""
        if "_client" in self.__dict__:
            await self._client.close()


def failure(error: Any) -> WebError:
    """Returns the error of a request to the server as one of the web service."""
    if isinstance(error, TimeoutError):
        return WebError(503, "The recognition server does not respond: `face-assets status` says more.", "server_down")
    message = str(error.message()).strip()
    if "not found" in message or "is not ready" in message or "unknown model" in message:
        return WebError(503, "No release is live on the recognition server: `face-assets run`, or `face-assets up`.", "nothing_live")
    return WebError(503, "The recognition server does not respond: `face-assets up` starts it.", "server_down")
