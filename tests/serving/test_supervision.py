"""The embedded server's frontend notices a Triton that hangs, and takes none for hanging that works on a loaded machine."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import pytest

from face_assets.core.files import write_json
from face_assets.serving.frontend import supervision
from face_assets.serving.frontend.pending_requests import PendingRequests

WITH_MODEL = """
import subprocess, sys
subprocess.run([sys.executable, "-c", "import time; time.sleep(600)"])
"""
WORKING = """
import time
from pathlib import Path
while not Path("done").exists():
    pass
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(supervision, "SECONDS_BETWEEN_LOOKS", 0.02)
    return tmp_path


@asynccontextmanager
async def supervised(code: str, pending: PendingRequests) -> AsyncIterator[tuple[psutil.Process, "asyncio.Task[str]"]]:
    """A process in Triton's place, and the reason for which it is to be ended."""
    server = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    process = psutil.Process(server.pid)
    why = asyncio.create_task(supervision._end_of(server, asyncio.Event(), pending))
    try:
        yield process, why
    finally:
        why.cancel()
        with suppress(psutil.NoSuchProcess):
            for one in [*process.children(recursive=True), process]:
                with suppress(psutil.NoSuchProcess):
                    one.kill()
        await server.wait()


class Clock:
    """Seconds that pass when the test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def without_response(clock: Clock) -> PendingRequests:
    """As where a caller has left."""
    pending = PendingRequests(clock)
    with suppress(TimeoutError), pending.forwarded():
        raise TimeoutError
    return pending


async def holds(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


def test_a_models_process_that_was_stopped_is_noticed_without_a_request() -> None:
    async def run() -> str:
        async with supervised(WITH_MODEL, PendingRequests()) as (server, why):
            await holds(server.children)
            os.kill(server.children()[0].pid, signal.SIGSTOP)
            return await asyncio.wait_for(why, 60)

    assert asyncio.run(run()) == "photos get no response"


def test_a_server_that_responds_to_no_request_is_noticed_and_one_that_works_is_not(folder: Path) -> None:
    """On a loaded machine it works for long, however late the response."""
    write_json(folder / "models" / "face_recognizer" / "1" / "recognizer.json", {"max_megapixels": 25.0, "serving": {"max_seconds": 50.0}})
    clock = Clock()
    pending = without_response(clock)
    looks: list[bool] = []
    is_working = supervision._is_working

    def look(pids: Iterable[int]) -> bool:
        looks.append(is_working(pids))
        return looks[-1]

    async def run() -> str:
        async with supervised(WORKING, pending) as (_, why):
            clock.now += 81.0  # 50 are legal, and 30 more
            await holds(lambda: len(looks) > 3 * supervision.LOOKS_AT_HANGING)
            assert not why.done()
            (folder / "done").touch()
            return await asyncio.wait_for(why, 60)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervision, "_is_working", look)
        assert asyncio.run(run()) == "photos get no response"
    assert looks[-supervision.LOOKS_AT_HANGING :] == [False] * supervision.LOOKS_AT_HANGING


def test_any_response_counts_and_a_caller_who_left_is_none() -> None:
    clock = Clock()
    pending = PendingRequests(clock)
    assert pending.seconds_without_response == 0
    first, second = pending.forwarded(), pending.forwarded()
    first.__enter__()
    clock.now += 5
    second.__enter__()
    clock.now += 5
    assert pending.seconds_without_response == 10
    second.__exit__(None, None, None)
    clock.now += 1
    assert pending.seconds_without_response == 1, "the other one waits still"
    assert not first.__exit__(asyncio.CancelledError, asyncio.CancelledError(), None)
    assert pending.seconds_without_response == 1
    with pytest.raises(ValueError), pending.forwarded():
        raise ValueError("an error is a response")
    assert pending.seconds_without_response == 0


def test_the_time_that_a_release_allows_counts(folder: Path) -> None:
    assert supervision._longest_wait() == 30
    write_json(folder / "models" / "face_recognizer" / "1" / "recognizer.json", {"max_megapixels": 25.0, "serving": {}})
    write_json(folder / "models" / "face_recognizer" / "2" / "recognizer.json", {"max_megapixels": 25.0, "serving": {"max_seconds": 600}})
    assert supervision._longest_wait() == 600
