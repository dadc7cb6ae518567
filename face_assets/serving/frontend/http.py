"""HTTP listener of the frontend: forwards requests of bounded length and small JSON to Triton's socket."""

import asyncio
import logging
import re
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, UnixConnector, web
from aiohttp.http import HttpProcessingError
from yarl import URL

from face_assets.serving.frontend.bounds import JSON_BYTES, SECONDS_TO_SEND, Bounds
from face_assets.serving.runtime.limits import BusyError

INFER = re.compile(r"/v2/models/[^/]+(/versions/[0-9]+)?/infer")
READ = re.compile(r"/v2(/health/(live|ready)|/models/[^/]+(/versions/[0-9]+)?(/config|/ready|/stats)?|/models/stats)?")
CONTROL = re.compile(r"/v2/repository/(index|models/[^/]+/(load|unload))")
JSON_LENGTH = "Inference-Header-Content-Length"
RESTRICTED = re.compile(r"/v2/(repository|systemsharedmemory|cudasharedmemory|trace|logging)(/.*)?|/v2/models/[^/]+/trace/.*")
KEY = "face-assets-key"
RESPONSE_HEADERS = ("Content-Type", JSON_LENGTH)


@dataclass(frozen=True)
class HttpFrontend:
    """Forwards requests to the HTTP server of a Unix socket."""

    socket: str
    bounds: Bounds

    async def handle(self, request: web.Request) -> web.Response:
        """Returns Triton's response. Raises an HTTPException for a rejected request."""
        self._check(request)
        size = request.content_length or 0
        try:
            self.bounds.admission.enter(size)
        except BusyError as error:
            raise web.HTTPServiceUnavailable(text=f"{error}\n") from error
        try:
            body = await _body(request)
            with self.bounds.pending.forwarded() if INFER.fullmatch(request.path) else nullcontext():
                return await self._forward(request, body)
        finally:
            self.bounds.admission.leave(size)

    async def metrics(self, request: web.Request) -> web.Response:
        """Returns Triton's metrics."""
        if request.method not in ("GET", "HEAD") or request.path != "/metrics" or request.body_exists:
            raise web.HTTPNotFound
        return await self._forward(request, b"")

    def _check(self, request: web.Request) -> None:
        """Raises an HTTPException for a request that Triton must not receive."""
        length, headers = request.content_length, request.headers
        if "Transfer-Encoding" in headers:
            raise web.HTTPLengthRequired(text="a Content-Length is needed\n")
        if "Content-Encoding" in headers:
            raise web.HTTPUnsupportedMediaType(text="no Content-Encoding, please\n")
        if length and length > self.bounds.largest:
            raise _too_large(self.bounds.largest)
        path = request.raw_path.partition("?")[0]
        if RESTRICTED.fullmatch(path):
            if not CONTROL.fullmatch(path) or not self.bounds.has_key(headers.get(KEY)):
                raise web.HTTPForbidden(text="this is restricted to the platform\n")
        elif not (INFER if request.method == "POST" else READ).fullmatch(path):
            raise web.HTTPNotFound
        stated = headers.get(JSON_LENGTH, str(length or 0)) if INFER.fullmatch(path) else str(length or 0)
        if not stated.isdecimal():
            raise web.HTTPBadRequest(text=f"{JSON_LENGTH} must be a number\n")
        if int(stated[:20]) > JSON_BYTES:
            raise _too_large(JSON_BYTES, "the JSON of a request: send tensors as binary data")

    async def _forward(self, request: web.Request, body: bytes) -> web.Response:
        headers = {name: value for name in ("Content-Type", JSON_LENGTH) if (value := request.headers.get(name))}
        try:
            async with (
                # one connection a request: a reused one that Triton has closed meanwhile would lose the request
                ClientSession(
                    connector=UnixConnector(self.socket, force_close=True), timeout=ClientTimeout(), cookie_jar=DummyCookieJar()
                ) as session,
                session.request(
                    request.method, URL(f"http://triton{request.raw_path}", encoded=True), data=body, headers=headers, allow_redirects=False
                ) as response,
            ):
                passed = {name: value for name in RESPONSE_HEADERS if (value := response.headers.get(name))}
                return web.Response(status=response.status, body=await response.read(), headers=passed)
        except ClientError as error:
            raise web.HTTPBadGateway(text="the server does not answer\n") from error


async def _body(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(SECONDS_TO_SEND):
            return await request.read()
    except TimeoutError as error:
        raise web.HTTPRequestTimeout from error


def _too_large(largest: int, what: str = "a request") -> web.HTTPException:
    return web.HTTPRequestEntityTooLarge(largest, 0, text=f"more than {largest} bytes are too much for {what}\n")


def _is_of_server(record: logging.LogRecord) -> bool:
    """False for the traceback of malformed HTTP, which is the caller's fault: who sends much of it would fill the log."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


async def serve_http(handler: Any, host: str, port: int, largest: int) -> web.AppRunner:
    """Listens; `handler` responds to requests of every path. Raises OSError for a port in use."""
    logging.getLogger("aiohttp.server").addFilter(_is_of_server)
    app = web.Application(client_max_size=largest + 1)
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, keepalive_timeout=30.0)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner
