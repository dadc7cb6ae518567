"""Bounds of a request before anything reads it: its length, its seconds, and how many are under way, in bytes too."""

import asyncio
import time
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from face_assets.serving.runtime.limits import Admission, BusyError, Limits
from face_assets.web.problems import WebError

AROUND_PHOTOS = 65_536
"""Bytes of a request in addition to its photos."""
MOST_REQUESTS = 128
"""Requests with a body under way, as many as a release's server has waiting."""
SECONDS_TO_SEND = 30.0
SECONDS_TO_DRAIN = 5.0


class Bounds:
    """ASGI middleware that rejects a request which the service cannot hold: 413, 408 or 503, at once and without its body in memory.

    The rest of a rejected body is read and dropped for a while, since many clients read a response only when they have sent theirs.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, requests: int = MOST_REQUESTS, seconds: float = SECONDS_TO_SEND):
        self.app = app
        self.largest = max_bytes + AROUND_PHOTOS
        self.seconds = seconds
        self.admission = Admission(Limits(max_bytes=self.largest, max_waiting=requests))
        self._turn = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or rejects it."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self.app(scope, receive, send)
            return
        body = _Body(receive, send, self.largest, self.seconds)
        try:
            size = self._size(scope)
            self.admission.enter(size)
        except WebError as error:
            await error.response()(scope, body.receive, body.send)
        except BusyError:
            busy = WebError(503, "The service is busy: send the request again in a second.")
            await busy.response()(scope, body.receive, body.send)
        else:
            try:
                async with self._turn:
                    await asyncio.sleep(0)  # admitted ones begin one by one, so that a rejection never waits for a crowd of them
                await self.app(scope, body.receive, body.send)
            finally:
                self.admission.leave(size)

    def _size(self, scope: Scope) -> int:
        """The bytes that a request may have: those that it states, or the most. Raises WebError where they are too many."""
        stated = [value for name, value in scope["headers"] if name == b"content-length"]
        if not stated:
            return self.largest if any(name == b"transfer-encoding" for name, _ in scope["headers"]) else 0
        if int(stated[0]) > self.largest:  # the server has checked that it is a number
            raise _too_large(self.largest)
        return int(stated[0])


class _Body:
    """The body of one request: bounded where it is read, and drained once the whole response is sent where it was not."""

    def __init__(self, receive: Receive, send: Send, largest: int, seconds: float):
        self._receive = receive
        self._send = send
        self._largest = largest
        self._seconds = seconds
        self._ends = time.monotonic() + seconds
        self._came = 0
        self._whole = False

    async def receive(self) -> Message:
        """Returns the next part, or that the client has left. Raises WebError for a body that is too long or too slow."""
        if self._whole:
            return await self._receive()
        try:
            async with asyncio.timeout(max(0.0, self._ends - time.monotonic())):
                message = await self._next()
        except TimeoutError as error:
            raise WebError(408, f"The request did not come within {self._seconds:g} s.") from error
        if self._came > self._largest:
            raise _too_large(self._largest)
        return message

    async def _next(self) -> Message:
        message = await self._receive()
        self._came += len(message.get("body", b""))
        self._whole = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Sends a part of the response; its end waits for the end of the request."""
        if message["type"] != "http.response.body" or message.get("more_body", False) or self._whole:
            await self._send(message)
            return
        await self._send({**message, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(SECONDS_TO_DRAIN):
                while not self._whole:
                    await self._next()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def _too_large(largest: int) -> WebError:
    return WebError(413, f"The request is larger than {largest / 1e6:.1f} MB (FACE_ASSETS_MAX_REQUEST_MB): send a smaller photo.")
