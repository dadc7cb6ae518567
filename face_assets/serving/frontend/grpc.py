"""gRPC listener of the frontend: forwards the public calls with bounded messages to Triton's socket."""

import asyncio
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from grpc import GenericRpcHandler, StatusCode, aio, unary_unary_rpc_method_handler

from face_assets.core.direct_connections import GRPC_OPTIONS
from face_assets.serving.frontend.bounds import JSON_BYTES, Bounds
from face_assets.serving.runtime.limits import BusyError

TRITON = "/inference.GRPCInferenceService/"
OPEN = {
    "/grpc.health.v1.Health/Check",
    *(
        TRITON + name
        for name in ("ServerLive", "ServerReady", "ServerMetadata", "ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics")
    ),
}
INFER = f"{TRITON}ModelInfer"
CONTROL = {TRITON + name for name in ("RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload")}
KEY = "triton-grpc-protocol-face-assets-key"
MOST_CALLS = 1024  # including those whose message has not arrived
UNLIMITED = -1
RECONNECT = (("grpc.initial_reconnect_backoff_ms", 100), ("grpc.min_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500))


@dataclass(frozen=True)
class GrpcFrontend(GenericRpcHandler):  # type: ignore[misc]
    """Forwards calls over one channel to the gRPC server of a Unix socket."""

    channel: Any
    bounds: Bounds

    def service(self, handler_call_details: Any) -> Any:
        """Returns the handler of a call; None, which is UNIMPLEMENTED, for one that is not Triton's."""
        method = handler_call_details.method
        if method not in OPEN and not method.startswith(TRITON):
            return None

        async def handle(message: bytes, context: Any) -> bytes:
            return await self._handle(method, message, context)

        return unary_unary_rpc_method_handler(handle)

    async def _handle(self, method: str, message: bytes, context: Any) -> bytes:
        metadata = dict(context.invocation_metadata() or ())
        if method not in OPEN | {INFER} and not (method in CONTROL and self.bounds.has_key(metadata.get(KEY))):
            await context.abort(
                StatusCode.PERMISSION_DENIED, "this is restricted to the platform"
            )  # includes shared memory, traces and logs
        if method not in CONTROL | {INFER} and len(message) > JSON_BYTES:
            await context.abort(StatusCode.RESOURCE_EXHAUSTED, f"more than {JSON_BYTES} bytes are too much for this call")
        try:
            self.bounds.admission.enter(len(message))
        except BusyError as error:
            await context.abort(StatusCode.RESOURCE_EXHAUSTED, str(error))
        try:
            return await self._forward(method, message, context)
        finally:
            self.bounds.admission.leave(len(message))

    async def _forward(self, method: str, message: bytes, context: Any) -> bytes:
        call: Any = self.channel.unary_unary(method)(message, timeout=context.time_remaining())
        try:
            with self.bounds.pending.forwarded() if method == INFER else nullcontext():
                return await _response(call)
        except aio.AioRpcError as error:
            await context.abort(error.code(), error.details() or "")
            raise
        except TimeoutError:
            await context.abort(StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
            raise
        except asyncio.CancelledError:
            call.cancel()
            raise


async def _response(call: Any) -> bytes:
    """Returns Triton's response. Raises AioRpcError for its errors, and TimeoutError after the caller's deadline."""
    try:
        response: bytes = await call
    except aio.AioRpcError as error:
        if error.code() == StatusCode.DEADLINE_EXCEEDED:
            raise TimeoutError from error
        raise
    return response


async def serve_grpc(socket: str, bounds: Bounds, host: str, port: int) -> Any:
    """Listens, and forwards to the socket. Raises RuntimeError for a port in use."""
    channel = aio.insecure_channel(
        f"unix:{socket}",
        options=[*GRPC_OPTIONS, *RECONNECT, ("grpc.max_send_message_length", UNLIMITED), ("grpc.max_receive_message_length", UNLIMITED)],
    )
    server = aio.server(
        options=[
            ("grpc.max_receive_message_length", bounds.largest),
            ("grpc.max_send_message_length", UNLIMITED),
            ("grpc.so_reuseport", 0),
        ],
        maximum_concurrent_rpcs=MOST_CALLS,
    )
    server.add_generic_rpc_handlers((GrpcFrontend(channel, bounds),))
    server.add_insecure_port(f"{host}:{port}")
    await server.start()
    return server
