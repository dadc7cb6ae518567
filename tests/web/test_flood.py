"""More requests than the web service can hold, over real connections: none waits, and those who leave free their place."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from socket import socket

import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from face_assets.web.bounds import Bounds
from face_assets.web.problems import WebError
from face_assets.web.recognizer import while_connected

PLACES = 2
SECONDS = 60.0
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Slow:
    """An application whose work lasts until `over`; it counts what began and what was ended before."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.began: asyncio.Queue[bytes] = asyncio.Queue()
        self.ended: asyncio.Queue[bytes] = asyncio.Queue()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        try:
            await while_connected(request, self._work(body))
            await PlainTextResponse("done")(scope, receive, send)
        except WebError as error:
            await error.response()(scope, receive, send)

    async def _work(self, body: bytes) -> None:
        self.began.put_nowait(body)
        try:
            await self.over.wait()
        except asyncio.CancelledError:
            self.ended.put_nowait(body)
            raise


class Announced(uvicorn.Server):
    """A server that announces that it listens."""

    def __init__(self, app: ASGIApp):
        super().__init__(uvicorn.Config(app, port=0, lifespan="off", log_level="critical"))
        self.listens = asyncio.Event()

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[int]:
    """The port of a server of the application."""
    server = Announced(app)
    serving = asyncio.create_task(server.serve())
    try:
        await server.listens.wait()
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await serving


async def post(port: int, body: bytes, size: int | None = None) -> Connection:
    """Sends a request, of which `size` bytes are promised."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (size or len(body), body))
    await writer.drain()
    return reader, writer


async def status(connection: Connection) -> int:
    """The status of the response."""
    return int((await connection[0].readline()).split()[1])


def test_a_request_beyond_the_places_is_rejected_at_once_and_one_who_leaves_frees_a_place() -> None:
    async def flood() -> None:
        slow = Slow()
        bounds = Bounds(slow, max_bytes=1000, requests=PLACES)
        over: asyncio.Queue[Scope] = asyncio.Queue()

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            await bounds(scope, receive, send)
            over.put_nowait(scope)

        async with asyncio.timeout(SECONDS), served(counted) as port:
            first, second = [await post(port, name) for name in (b"first", b"second")]
            assert {await slow.began.get(), await slow.began.get()} == {b"first", b"second"}

            third = await post(port, b"half of its bo", size=1000)
            assert await status(third) == 503, "before its body is there, and while the others are worked on"
            assert slow.began.empty()
            third[1].close()

            first[1].close()
            assert await slow.ended.get() == b"first", "nobody waits for it any more"
            for _ in ("third", "first"):
                await over.get()
            fourth = await post(port, b"fourth")
            assert await slow.began.get() == b"fourth", "it has the place of the first"

            slow.over.set()
            assert [await status(second), await status(fourth)] == [200, 200]
            for _, writer in (second, fourth):
                writer.close()

    asyncio.run(flood())


def test_a_rejection_does_not_wait_for_the_work_of_those_before_it() -> None:
    events: list[str] = []

    async def work(scope: Scope, receive: Receive, send: Send) -> None:
        events.append("work began")

    async def received() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            events.append(f"{message['status']} sent")

    async def burst() -> None:
        bounds = Bounds(work, max_bytes=1000, requests=PLACES)
        scope: Scope = {"type": "http", "method": "POST", "headers": []}
        await asyncio.gather(*(bounds(scope, received, sent) for _ in range(PLACES + 1)))

    asyncio.run(burst())
    assert events == ["503 sent", *["work began"] * PLACES]
