"""Other programs, each with a time limit: one that hangs is ended with all that it started, and an error names it."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from face_assets.core.errors import UserError

OWN_MODULES = {"PYTHONSAFEPATH": "1"}
"""Environment of a Python that starts Pythons: none of them imports modules from its working directory."""


class TookTooLongError(UserError):
    """A program exceeded its time limit and was ended."""


def python(*arguments: str) -> list[str]:
    """The command for this Python, without its working directory on the module path: that may be a checked out commit of the data
    repository, and `-m` and `-c` would look there first."""
    return [sys.executable, "-P", *arguments]


def run(command: Sequence[str], seconds: float, environment: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """Runs the command to its end. Raises TookTooLongError after so many seconds, OSError where there is no such program."""
    with _started(command, subprocess.PIPE, environment) as process:
        try:
            output, errors = process.communicate(timeout=seconds)
        except BaseException as error:
            kill(process)
            if isinstance(error, subprocess.TimeoutExpired):
                raise TookTooLongError(_too_long(command, f"did not end within {seconds:g} s")) from error
            raise
    return subprocess.CompletedProcess(list(command), process.returncode, output, errors)


def follow(command: Sequence[str], silence: float, write: Callable[[str], None], environment: Mapping[str, str] | None = None) -> int:
    """Runs the command to its end and passes each line that it prints to `write`; returns its exit status.

    Raises TookTooLongError where it prints nothing for `silence` seconds: how long it takes in all depends on its work.
    """
    hung = threading.Event()
    with _started(command, subprocess.STDOUT, environment) as process:
        try:
            while line := _next_line(process, silence, hung):
                write(line.rstrip())
            process.wait(silence)
        except BaseException as error:
            kill(process)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            hung.set()
    if hung.is_set():
        raise TookTooLongError(_too_long(command, f"printed nothing for {silence:g} s"))
    return process.returncode


def _started(command: Sequence[str], errors: int, environment: Mapping[str, str] | None) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        env=environment,
        text=True,
        errors="replace",
        start_new_session=True,
    )


def _next_line(process: "subprocess.Popen[str]", silence: float, hung: threading.Event) -> str:
    """The next line, empty at the end; a process that prints none in time is killed, which ends its output."""
    assert process.stdout is not None

    def end_hung() -> None:
        hung.set()
        kill(process)

    watch = threading.Timer(silence, end_hung)
    watch.daemon = True
    watch.start()
    try:
        return process.stdout.readline()
    finally:
        watch.cancel()


def kill(process: "subprocess.Popen[str]") -> None:
    """Kills a process that leads a session, and the rest of its session."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _too_long(command: Sequence[str], what: str) -> str:
    return f"{Path(command[0]).name} {what} and was ended: see what it waits for, and run again."
