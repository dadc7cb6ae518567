"""Odd traffic ends at the frontend's bounds: Triton sees none of it, and the next honest request is answered."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from aiohttp import ClientSession, web

from face_assets.serving.frontend.bounds import JSON_BYTES, Bounds
from face_assets.serving.frontend.grpc import serve_grpc
from face_assets.serving.frontend.http import HttpFrontend, serve_http
from face_assets.serving.frontend.pending_requests import PendingRequests
from face_assets.serving.runtime.limits import Admission, BusyError, Limits

LARGEST = 1_000_000
INFER = "/v2/models/face_recognizer/infer"
GRPC = "/inference.GRPCInferenceService"
NESTED = b'{"inputs":' + b"[" * 200_000 + b"]" * 200_000 + b"}"


def http(line: str, body: bytes = b"", **headers: str) -> bytes:
    """A request as its bytes; a Content-Length is stated unless a header says otherwise."""
    stated = {"Host": "server", "Content-Length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = [f"{line} HTTP/1.1", *(f"{name}: {value}" for name, value in stated.items() if value), "", ""]
    return "\r\n".join(lines).encode() + body


ODD_HTTP = {
    "nested JSON": (http(f"POST {INFER}", NESTED), 413),
    "nested JSON, stated": (http(f"POST {INFER}", NESTED, Inference_Header_Content_Length=str(len(NESTED))), 413),
    "JSON of a stated length beyond all numbers": (http(f"POST {INFER}", b"{}", Inference_Header_Content_Length="9" * 4000), 413),
    "JSON of less than nothing": (http(f"POST {INFER}", b"{}", Inference_Header_Content_Length="-1"), 400),
    "JSON of no number": (http(f"POST {INFER}", b"{}", Inference_Header_Content_Length="²"), 400),
    "chunks": (http(f"POST {INFER}", b"2\r\n{}\r\n0\r\n\r\n", Content_Length="", Transfer_Encoding="chunked"), 411),
    "chunks and a length": (http(f"POST {INFER}", b"2\r\n{}\r\n0\r\n\r\n", Transfer_Encoding="chunked"), 400),
    "compressed": (http(f"POST {INFER}", gzip.compress(NESTED), Content_Encoding="gzip"), 415),
    "100 MB": (http(f"POST {INFER}", b"", Content_Length="100000000", Inference_Header_Content_Length="0"), 413),
    "a length of less than nothing": (http(f"POST {INFER}", b"", Content_Length="-5"), 400),
    "a length of no number": (http(f"POST {INFER}", b"", Content_Length="many"), 400),
    "a header of 60 kB": (http("GET /v2/health/ready", Cookie="a" * 60_000), 400),
    "a path of 60 kB": (http("GET /" + "a" * 60_000), 400),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "another method": (http(f"PUT {INFER}"), 404),
    "a question to a model": (http(f"GET {INFER}"), 404),
    "a body to a question": (http("POST /v2/health/ready", b"{}"), 404),
    "an unknown path": (http("GET /metrics"), 404),
    "a path upwards": (http("POST /v2/models/../../etc/infer", b"{}"), 404),
    "shared memory": (http("POST /v2/systemsharedmemory/region/a/register", b"{}"), 403),
    "CUDA's memory": (http("POST /v2/cudasharedmemory/region/a/register", b"{}"), 403),
    "traces": (http("POST /v2/trace/setting", b"{}"), 403),
    "a model's traces": (http("GET /v2/models/face_recognizer/trace/setting"), 403),
    "the log": (http("POST /v2/logging", b"{}"), 403),
    "model control": (http("POST /v2/repository/models/face_recognizer/unload", b"{}"), 403),
    "model control with a wrong key": (http("POST /v2/repository/index", b"{}", face_assets_key="guess\xff"), 403),
}
ODD_GRPC = {
    "100 MB": (f"{GRPC}/ModelInfer", bytes(100_000_000), grpc.StatusCode.RESOURCE_EXHAUSTED),
    "a long question": (f"{GRPC}/ServerReady", bytes(JSON_BYTES + 1), grpc.StatusCode.RESOURCE_EXHAUSTED),
    "a stream": (f"{GRPC}/ModelStreamInfer", b"", grpc.StatusCode.PERMISSION_DENIED),
    "shared memory": (f"{GRPC}/SystemSharedMemoryRegister", b"", grpc.StatusCode.PERMISSION_DENIED),
    "CUDA's memory": (f"{GRPC}/CudaSharedMemoryUnregister", b"", grpc.StatusCode.PERMISSION_DENIED),
    "traces": (f"{GRPC}/TraceSetting", b"", grpc.StatusCode.PERMISSION_DENIED),
    "the log": (f"{GRPC}/LogSettings", b"", grpc.StatusCode.PERMISSION_DENIED),
    "model control": (f"{GRPC}/RepositoryModelUnload", b"", grpc.StatusCode.PERMISSION_DENIED),
    "another service": ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", b"", grpc.StatusCode.UNIMPLEMENTED),
    "no service": ("/", b"", grpc.StatusCode.UNIMPLEMENTED),
}


@dataclass
class Listening:
    """The frontend's ports, with a Triton behind it that answers everything and notes what it saw."""

    http: int
    grpc: int
    bounds: Bounds
    seen: list[str] = field(default_factory=list)

    async def send(self, content: bytes, port: int | None = None) -> bytes:
        """The first line of the answer to bytes over a connection of their own; empty where it is closed without one."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port or self.http)
        with suppress(ConnectionError):
            writer.write(content)
            await writer.drain()
        try:
            return await reader.readline()
        except ConnectionError:
            return b""
        finally:
            writer.close()

    async def call(self, method: str, message: bytes) -> Any:
        """The status of a call over gRPC."""
        options = [("grpc.max_send_message_length", -1)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.grpc}", options=options) as channel:
            try:
                await channel.unary_unary(method)(message, timeout=60)
            except grpc.aio.AioRpcError as error:
                return error.code()
            return grpc.StatusCode.OK


@asynccontextmanager
async def frontend(folder: Path, ports: list[int], waiting: int = 1) -> AsyncIterator[Listening]:
    """waiting: requests that are taken in at once."""
    bounds = Bounds(LARGEST, "key", Admission(Limits(max_bytes=LARGEST, max_waiting=waiting)), PendingRequests())
    listening = Listening(ports[0], ports[1], bounds)

    async def over_http(request: web.Request) -> web.Response:
        listening.seen.append(request.path)
        return web.Response(body=await request.read())

    class OverGrpc(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, handler_call_details: Any) -> Any:
            async def answer(message: bytes, _: Any) -> bytes:
                listening.seen.append(handler_call_details.method)
                return message

            return grpc.unary_unary_rpc_method_handler(answer)

    app = web.Application(client_max_size=2 * LARGEST)
    app.router.add_route("*", "/{path:.*}", over_http)
    triton = web.AppRunner(app)
    await triton.setup()
    await web.UnixSite(triton, str(folder / "http")).start()
    triton_grpc = grpc.aio.server()
    triton_grpc.add_generic_rpc_handlers((OverGrpc(),))
    triton_grpc.add_insecure_port(f"unix:{folder / 'grpc'}")
    await triton_grpc.start()
    over = await serve_http(HttpFrontend(str(folder / "http"), bounds).handle, "127.0.0.1", listening.http, LARGEST)
    over_grpc = await serve_grpc(str(folder / "grpc"), bounds, "127.0.0.1", listening.grpc)
    try:
        yield listening
    finally:
        await over_grpc.stop(0)
        await over.cleanup()
        await triton_grpc.stop(0)
        await triton.cleanup()


def test_odd_traffic_reaches_no_triton_and_costs_no_place(
    tmp_path: Path, free_ports: Callable[[int], list[int]], caplog: pytest.LogCaptureFixture
) -> None:
    """One place is there for requests: a rejection that kept it would bar the honest one after it. The log gets no tracebacks."""

    async def run() -> None:
        async with frontend(tmp_path, free_ports(2)) as server:
            found: dict[str, Any] = {}
            for name, (content, _) in ODD_HTTP.items():
                line = (await server.send(content)).split()
                found[name] = int(line[1]) if line else None
            assert found == {name: status for name, (_, status) in ODD_HTTP.items()}
            found = {name: await server.call(method, message) for name, (method, message, _) in ODD_GRPC.items()}
            assert found == {name: status for name, (_, _, status) in ODD_GRPC.items()}
            await server.send(http(f"POST {INFER}", b"{}"), server.grpc)
            assert server.seen == []
            async with ClientSession() as session, session.post(f"http://127.0.0.1:{server.http}{INFER}", data=b"{}") as answer:
                assert (answer.status, await answer.read()) == (200, b"{}")
            assert await server.call(f"{GRPC}/ModelInfer", b"photo") == grpc.StatusCode.OK
            assert server.seen == [INFER, f"{GRPC}/ModelInfer"]
            assert server.bounds.pending.seconds_without_response == 0

    asyncio.run(run())
    assert [record.message for record in caplog.records if record.exc_info] == []


def is_full(admission: Admission) -> bool:
    try:
        admission.enter(0)
    except BusyError:
        return True
    admission.leave(0)
    return False


def test_a_caller_who_leaves_in_the_middle_gives_the_place_back(tmp_path: Path, free_ports: Callable[[int], list[int]]) -> None:
    async def run() -> None:
        async with frontend(tmp_path, free_ports(2)) as server:
            _, writer = await asyncio.open_connection("127.0.0.1", server.http)
            writer.write(http(f"POST {INFER}", b"{", Content_Length="1000", Inference_Header_Content_Length="0"))
            await writer.drain()
            async with asyncio.timeout(60):
                while not is_full(server.bounds.admission):
                    await asyncio.sleep(0.01)
                writer.close()
                while is_full(server.bounds.admission):
                    await asyncio.sleep(0.01)
            assert server.seen == []

    asyncio.run(run())


@pytest.mark.parametrize("over", ["http", "grpc"])
def test_a_triton_that_takes_photos_and_is_silent_is_seen_by_callers_who_left(
    tmp_path: Path, free_ports: Callable[[int], list[int]], over: str
) -> None:
    """Questions that are no photos say nothing about the models."""

    async def run() -> None:
        async with frontend(tmp_path, free_ports(2), waiting=2) as server:
            (tmp_path / over).unlink()

            async def take(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
                await reader.read()

            silent = await asyncio.start_unix_server(take, str(tmp_path / over))
            async with silent:
                asked = asyncio.create_task(
                    server.send(http(f"POST {INFER}", b"{}")) if over == "http" else server.call(f"{GRPC}/ModelInfer", b"photo")
                )
                async with asyncio.timeout(60):
                    while not server.bounds.pending.seconds_without_response:
                        await asyncio.sleep(0.01)
                asked.cancel()
                with suppress(asyncio.CancelledError):
                    await asked
                assert server.bounds.pending.seconds_without_response > 0

    asyncio.run(run())
