"""The web service against Triton asked directly: one photo turn by turn, many callers, and more of them than it can hold."""

import asyncio
import http.client
import itertools
import multiprocessing
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.kit import made
from benchmarks.server import free_ports, serving
from benchmarks.table import Row
from face_assets.web.bounds import MOST_REQUESTS

PHOTOS = 60
ANSWERS, WARM_UP = 400, 20
ROUNDS, SECONDS, CALLERS = 6, 5.0, 16
CROWD = 2 * MOST_REQUESTS
MOST_MS, PHOTO_MS, REJECTED_MS, KEPT = 2.0, 25.0, 100.0, 0.9
SECONDS_TO_START = 60.0
LIMIT = "the reference is the limit"

Ask = Callable[[bytes], object]


@dataclass(frozen=True)
class Addresses:
    """Ports of Triton's gRPC and of the web service, on loopback."""

    grpc: int
    web: int


def run(photos: Path) -> list[Row]:
    """One Triton, asked directly and through the web service in alternation."""
    with made(photos, PHOTOS) as kit, serving(kit) as target, web_service(target.models, target.ports.grpc) as port:
        return measured(Addresses(target.ports.grpc, port), [file.read_bytes() for file in kit.files])


def measured(at: Addresses, contents: Sequence[bytes]) -> list[Row]:
    """Returns the rows, measured by a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        direct, over_web = pool.submit(one_caller, at, contents).result()
        rates = pool.submit(many_callers, at, contents).result()
        rejected = pool.submit(crowd, at, contents[0]).result()
    overhead = statistics.median(web - ours for ours, web in zip(direct, over_web, strict=True))
    kept, by_triton = statistics.median(web / ours for ours, web in rates), statistics.median(ours for ours, _ in rates)
    each = f"rounds: {', '.join(f'{web / ours:.2f}' for ours, web in rates)}"
    pairs = f"at the median of {len(direct)} pairs, {statistics.median(direct):.1f} ms from Triton; {LIMIT}"
    refused = f"the 99th percentile of {len(rejected)}, {CROWD} callers at once; {LIMIT}"
    return [
        Row("web service: time of a photo more than from Triton", overhead, MOST_MS, "ms", 1, pairs),
        Row("web service: one photo to its answer", statistics.median(over_web), PHOTO_MS, "ms", 1, f"at the median; {LIMIT}"),
        Row(f"web service, {CALLERS} callers, against as many of Triton", kept * by_triton, by_triton, "photos/s", KEPT, each),
        Row("web service: rejection beyond what it can hold", float(np.percentile(rejected, 99)), REJECTED_MS, "ms", 1, refused),
    ]


@contextmanager
def web_service(models: Path, grpc: int) -> Iterator[int]:
    """Gives the port of a web service of a model repository, in a process of its own."""
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as home:
        process = multiprocessing.get_context("spawn").Process(target=_serve, args=(home, models, grpc, port))
        process.start()
        try:
            _wait(port)
            yield port
        finally:
            process.terminate()
            process.join()


def _serve(home: str, models: Path, grpc: int, port: int) -> None:
    from face_assets.core.settings import Settings
    from face_assets.web.app import create_app
    from face_assets.web.recognizer import Endpoint, Recognizer
    from face_assets.web.server import serve

    app = create_app(Settings(home=home), Recognizer(lambda: Endpoint(f"127.0.0.1:{grpc}", {})), models=models)
    serve(app, [socket.create_server(("127.0.0.1", port))])


def _wait(port: int) -> None:
    ends = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.05)


def of_triton(at: Addresses) -> Callable[[], Ask]:
    """Returns a maker of callers, one for each thread, over one gRPC connection."""
    from face_assets.serving.client import RecognizerClient

    client = RecognizerClient(f"127.0.0.1:{at.grpc}")
    return lambda: client.identify


def of_web(at: Addresses) -> Callable[[], Ask]:
    """Returns a maker of callers, one for each thread, each over a connection that it keeps."""

    def caller() -> Ask:
        connection = http.client.HTTPConnection("127.0.0.1", at.web)

        def ask(photo: bytes) -> bytes:
            connection.request("POST", "/api/v1/recognize", *form(photo))
            response = connection.getresponse()
            body = response.read()
            if response.status != 200:
                raise RuntimeError(f"{response.status}: {body[:200]!r}")
            return body

        return ask

    return caller


def form(photo: bytes) -> tuple[bytes, dict[str, str]]:
    """Returns body and headers of a photo as a browser sends it."""
    head = b'--face\r\nContent-Disposition: form-data; name="photo"; filename="photo.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    return head + photo + b"\r\n--face--\r\n", {"Content-Type": "multipart/form-data; boundary=face"}


def one_caller(at: Addresses, contents: Sequence[bytes], answers: int = ANSWERS) -> tuple[list[float], list[float]]:
    """Returns the milliseconds of photos, from Triton and over the web: each photo by both, which of them first in alternation."""
    asks = of_triton(at)(), of_web(at)()
    taken: tuple[list[float], list[float]] = ([], [])
    for turn, photo in zip(range(answers + WARM_UP), itertools.cycle(contents), strict=False):
        for place in _order(turn):
            began = time.perf_counter()
            asks[place](photo)
            if turn >= WARM_UP:
                taken[place].append((time.perf_counter() - began) * 1000)
    return taken


def many_callers(at: Addresses, contents: Sequence[bytes], rounds: int = ROUNDS, seconds: float = SECONDS) -> list[tuple[float, float]]:
    """Returns photos a second from Triton and over the web, by rounds."""
    makers = of_triton(at), of_web(at)
    found = []
    for turn in range(rounds):
        rates = [0.0, 0.0]
        for place in _order(turn):
            rates[place] = _rate(makers[place], contents, seconds)
        found.append((rates[0], rates[1]))
    return found


def _order(turn: int) -> tuple[int, int]:
    return (0, 1) if turn % 2 else (1, 0)


def _rate(maker: Callable[[], Ask], contents: Sequence[bytes], seconds: float) -> float:
    """Photos a second of CALLERS that each ask again as soon as they have an answer, after a second of warm-up."""
    began = time.perf_counter() + 1.0
    ended: list[float] = []

    def call(first: int) -> None:
        ask, turn = maker(), first
        while time.perf_counter() < began + seconds:
            ask(contents[turn % len(contents)])
            ended.append(time.perf_counter())
            turn += CALLERS

    threads = [threading.Thread(target=call, args=(first,)) for first in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(began <= when <= began + seconds for when in ended) / seconds


def crowd(at: Addresses, photo: bytes, callers: int = CROWD, seconds: float = SECONDS) -> list[float]:
    """Returns the milliseconds of rejections of callers who ask again a second later, as they are told to."""
    body, headers = form(photo)
    stated = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    message = f"POST /api/v1/recognize HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n{stated}\r\n".encode() + body
    rejected: list[float] = []

    async def call(ends: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", at.web)
        while time.perf_counter() < ends:
            began = time.perf_counter()
            writer.write(message)
            head = await reader.readuntil(b"\r\n\r\n")
            took = (time.perf_counter() - began) * 1000
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.partition(b":")[2]))
            if head.split()[1] == b"503":
                rejected.append(took)
                await asyncio.sleep(1.0)
        writer.close()

    async def all_of_them() -> None:
        ends = time.perf_counter() + seconds
        await asyncio.gather(*(call(ends) for _ in range(callers)))

    asyncio.run(all_of_them())
    return rejected
