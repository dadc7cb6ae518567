"""Dagster's code server whose runs are forked from a process that has loaded the code: a new Python imports for three seconds before it.

The fork server is a process of `multiprocessing` without threads. It computes nothing. Where it fails, or the code changed since it
loaded it, a run gets a new Python, as by Dagster alone.
"""

import multiprocessing
import sys
import threading
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any

from face_assets.core.code_digest import PACKAGE

PRELOADED = "face_assets.automation.run_modules"
SECONDS_BEFORE_LOADING = 5.0  # while the platform starts, its servers need the cores


class RunProcesses:
    """The context by which the code server makes processes of runs: that of `spawn`, but for how a process starts."""

    def __init__(self) -> None:
        self._new = multiprocessing.get_context("spawn")
        self._forked = multiprocessing.get_context("forkserver")
        self._forked.set_forkserver_preload([PRELOADED])
        self._loaded = _newest_change()
        self.Queue, self.Event = self._new.Queue, self._new.Event

    def load(self) -> None:
        """Starts the fork server, which loads the code while nobody waits for it."""
        forkserver.ensure_running()

    def Process(self, **about: Any) -> BaseProcess:  # noqa: N802  # multiprocessing's name
        """A process that is not started yet."""
        is_current = _newest_change() == self._loaded
        context: BaseContext = self._forked if is_current else self._new
        made: BaseProcess = context.Process(**about)  # type: ignore[attr-defined]
        return made


def _newest_change() -> int:
    """Time of the last change of a module of this package, or of definitions.py, in nanoseconds."""
    return max(file.stat().st_mtime_ns for file in (*PACKAGE.rglob("*.py"), PACKAGE.parent / "definitions.py"))


def main() -> None:
    """Runs Dagster's code server with the command line of `dagster api grpc`."""
    from dagster._cli.api import grpc_command
    from dagster._grpc import server

    processes = RunProcesses()

    class CodeServer(server.DagsterApiServer):
        def __init__(self, *arguments: Any, **about: Any):
            super().__init__(*arguments, **about)
            self._mp_ctx = processes  # type: ignore[assignment]

    server.DagsterApiServer = CodeServer  # type: ignore[misc]  # grpc_command takes no other class
    waits = threading.Timer(SECONDS_BEFORE_LOADING, processes.load)
    waits.daemon = True
    waits.start()
    grpc_command(sys.argv[1:])


if __name__ == "__main__":
    main()
