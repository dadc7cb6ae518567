"""The process that executes a run of the command line: a fork of the command where that is possible, else a new Python.

A fork has all modules of the command loaded, which saves a second of a core.
"""

import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from face_assets.core.subprocesses import OWN_MODULES, python

EXECUTE = "face_assets.automation.execute"
COMMAND = "face-assets"
SECONDS_TO_END = 60.0
SECONDS_BETWEEN_LOOKS = 0.05


class RunProcess:
    """A started process. Its output goes to `log`; arguments: those of the module `EXECUTE`."""

    def __init__(self, arguments: Sequence[str], log: Path):
        self._forked: BaseProcess | None = None
        self._new: subprocess.Popen[bytes] | None = None
        if _may_fork():
            self._forked = multiprocessing.get_context("fork").Process(target=_execute, args=(list(arguments), log))
            self._forked.start()
            return
        with open(log, "wb") as output:
            command, variables = python("-m", EXECUTE, *arguments), {**os.environ, **OWN_MODULES}
            self._new = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=variables)

    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        if self._forked:
            return self._forked.exitcode
        assert self._new
        return self._new.poll()

    def end(self) -> None:
        """Interrupts the run, waits for its steps to end, and kills it where they do not."""
        process = self._forked or self._new
        assert process
        if self.status() is None:
            process.terminate()
            self._wait()
        if self.status() is None:
            process.kill()
            self._wait()

    def _wait(self) -> None:
        ends = time.monotonic() + SECONDS_TO_END
        while self.status() is None and time.monotonic() < ends:
            time.sleep(SECONDS_BETWEEN_LOOKS)


def _may_fork() -> bool:
    """True in a process that is the command: it has computed nothing with a library whose threads a fork would lack."""
    return Path(sys.argv[0]).name == COMMAND and threading.active_count() == 1


def _execute(arguments: list[str], log: Path) -> None:
    """Executes the run in the forked process, whose standard input multiprocessing has closed."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.close(output)
    sys.stdout, sys.stderr = (os.fdopen(stream, "w", encoding="utf-8", errors="replace", closefd=False) for stream in (1, 2))
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # those of a new Python, in place of the command's
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(OWN_MODULES)
    importlib.import_module(EXECUTE).main(arguments)
