"""Supervision of Triton: restarted, with the models that were loaded, when it or one of its models' processes has died or hangs.

A model whose process died responds "stub process is not healthy" for ever, while Triton reports itself healthy. One that hangs, or was
stopped by a signal, does not respond at all.
"""

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from face_assets.core.files import read_json
from face_assets.core.subprocesses import python
from face_assets.serving.frontend import end_with_parent
from face_assets.serving.frontend.pending_requests import PendingRequests
from face_assets.serving.runtime.limits import MAX_SECONDS, Limits

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
END_WITH_PARENT = python("-m", end_with_parent.__name__, str(os.getpid()))
SECONDS_TO_END = 8.0
SECONDS_TO_END_BROKEN = 2.0  # of a Triton that cannot complete its last requests
SECONDS_BETWEEN_LOOKS = 2.0
LOOKS = 2  # consecutive ones that find a process dead: an unloaded one is dead for a moment
LOOKS_AT_HANGING = 5
SECONDS_OF_WORK = 30.0  # on a photo, which begins within `serving.max_seconds` or is dropped
SHORTEST_LIFE = 10.0
"""Seconds; a process that dies sooner is not restarted."""
MOST_RESTARTS, WITHIN = 5, 600.0
MODELS = Path("models")
RECOGNIZER, CANDIDATE = "face_recognizer", "candidate_"
SOCKETS = Path("sockets")


async def keep(command: Sequence[str], stopped: asyncio.Event, pending: PendingRequests) -> int:
    """Runs `command` until `stopped`, or until it dies too soon or too often; returns its exit status."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)  # processes of a dead Triton's models become ours
    loaded: list[str] = []
    restarts: list[float] = []
    while True:
        began = time.monotonic()
        for socket in SOCKETS.iterdir():  # of the previous process
            socket.unlink()
        server = await asyncio.create_subprocess_exec(*END_WITH_PARENT, *command, *loaded)
        pending.forget()
        why = await _end_of(server, stopped, pending)
        await _end(server, SECONDS_TO_END if stopped.is_set() else SECONDS_TO_END_BROKEN)
        now = time.monotonic()
        restarts = [*(when for when in restarts if now - when < WITHIN), now]
        if stopped.is_set() or now - began < SHORTEST_LIFE or len(restarts) > MOST_RESTARTS:
            return server.returncode or 0
        print(f"{why}: Triton is restarted", file=sys.stderr, flush=True)
        loaded = [
            f"--load-model={file.parent.name}" for file in MODELS.glob("*/config.pbtxt") if not file.parent.name.startswith(CANDIDATE)
        ]


async def _end_of(server: asyncio.subprocess.Process, stopped: asyncio.Event, pending: PendingRequests) -> str:
    """Waits for a reason to end the server, and returns it."""
    ended, stop = asyncio.create_task(server.wait()), asyncio.create_task(stopped.wait())
    dead: set[int] = set()
    looks = hanging = 0
    while True:
        done, _ = await asyncio.wait((ended, stop), timeout=SECONDS_BETWEEN_LOOKS, return_when=asyncio.FIRST_COMPLETED)
        if done:
            return f"Triton ended with status {server.returncode}" if ended in done else "stopped"
        states = _states(server.pid)
        before, dead = dead, {pid for pid, state in states.items() if state == psutil.STATUS_ZOMBIE}
        looks = looks + 1 if before & dead else bool(dead)
        if looks >= LOOKS:
            return "a model's process died"
        late = pending.seconds_without_response - SECONDS_OF_WORK
        is_late = late > 0 and late > _longest_wait()  # which reads files
        hangs = psutil.STATUS_STOPPED in states.values() or (is_late and not _is_working(states))
        hanging = hanging + 1 if hangs else 0
        if hanging >= LOOKS_AT_HANGING:
            return "photos get no response"


def _longest_wait() -> float:
    """Returns the seconds after which the loaded releases drop a photo that waits."""
    stated = []
    for file in MODELS.glob(f"{RECOGNIZER}/*/recognizer.json"):
        with suppress(OSError):  # an old version's, which is just being deleted
            stated.append(Limits.of(read_json(file)).max_seconds)
    return max(stated, default=MAX_SECONDS)


def _states(pid: int) -> dict[int, str]:
    """Returns the states of Triton's process and its models', by process id; a model that died and was not reaped is a zombie."""
    found = {}
    with suppress(psutil.NoSuchProcess):
        server = psutil.Process(pid)
        for process in (server, *server.children()):
            with suppress(psutil.NoSuchProcess):
                found[process.pid] = process.status()
    return found


def _is_working(pids: Iterable[int]) -> bool:
    """Returns True where a thread of the processes runs, or waits for a processor or a disk (proc_pid_stat(5)).

    On a loaded machine one does, however late the response.
    """
    for pid in pids:
        for file in Path(f"/proc/{pid}/task").glob("*/stat"):
            with suppress(OSError):
                if file.read_text(encoding="utf-8", errors="replace").rpartition(") ")[2][0] in "RD":
                    return True
    return False


async def _end(server: asyncio.subprocess.Process, seconds: float) -> None:
    """Ends Triton, with KILL after `seconds`, and all processes of its models."""
    models = psutil.Process().children(recursive=True)
    if server.returncode is None:
        server.terminate()
        try:
            await asyncio.wait_for(server.wait(), seconds)
        except TimeoutError:
            server.kill()
            await server.wait()
    for one in models:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    await asyncio.to_thread(psutil.wait_procs, models, SECONDS_TO_END)
