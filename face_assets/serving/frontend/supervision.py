"""Supervision of Triton: restarted, with the models that were loaded, when it or one of its models' processes has died.

A model whose process died responds "stub process is not healthy" for ever, while Triton reports itself healthy.
"""

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from face_assets.core.subprocesses import python
from face_assets.serving.frontend import end_with_parent

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
END_WITH_PARENT = python("-m", end_with_parent.__name__, str(os.getpid()))
SECONDS_TO_END = 8.0
SECONDS_TO_END_BROKEN = 2.0  # of a Triton that cannot complete its last requests
SECONDS_BETWEEN_LOOKS = 2.0
LOOKS = 2  # consecutive ones that find a process dead: an unloaded one is dead for a moment
SHORTEST_LIFE = 10.0
"""Seconds; a process that dies sooner is not restarted."""
MOST_RESTARTS, WITHIN = 5, 600.0
MODELS = Path("models")
CANDIDATE = "candidate_"
SOCKETS = Path("sockets")


async def keep(command: Sequence[str], stopped: asyncio.Event) -> int:
    """Runs `command` until `stopped`, or until it dies too soon or too often; returns its exit status."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)  # processes of a dead Triton's models become ours
    loaded: list[str] = []
    restarts: list[float] = []
    while True:
        began = time.monotonic()
        for socket in SOCKETS.iterdir():  # of the previous process
            socket.unlink()
        server = await asyncio.create_subprocess_exec(*END_WITH_PARENT, *command, *loaded)
        why = await _end_of(server, stopped)
        await _end(server, SECONDS_TO_END if stopped.is_set() else SECONDS_TO_END_BROKEN)
        now = time.monotonic()
        restarts = [*(when for when in restarts if now - when < WITHIN), now]
        if stopped.is_set() or now - began < SHORTEST_LIFE or len(restarts) > MOST_RESTARTS:
            return server.returncode or 0
        print(f"{why}: Triton is restarted", file=sys.stderr, flush=True)
        loaded = [
            f"--load-model={file.parent.name}" for file in MODELS.glob("*/config.pbtxt") if not file.parent.name.startswith(CANDIDATE)
        ]


async def _end_of(server: asyncio.subprocess.Process, stopped: asyncio.Event) -> str:
    """Waits for a reason to end the server, and returns it."""
    ended, stop = asyncio.create_task(server.wait()), asyncio.create_task(stopped.wait())
    dead: set[int] = set()
    looks = 0
    while True:
        done, _ = await asyncio.wait((ended, stop), timeout=SECONDS_BETWEEN_LOOKS, return_when=asyncio.FIRST_COMPLETED)
        if done:
            return f"Triton ended with status {server.returncode}" if ended in done else "stopped"
        before, dead = dead, _dead_children(server.pid)
        looks = looks + 1 if before & dead else bool(dead)
        if looks >= LOOKS:
            return "a model's process died"


def _dead_children(pid: int) -> set[int]:
    """Returns the processes of models that died and that Triton has not reaped."""
    with suppress(psutil.NoSuchProcess):
        return {child.pid for child in psutil.Process(pid).children() if child.status() == psutil.STATUS_ZOMBIE}
    return set()


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
