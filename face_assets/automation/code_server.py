"""Dagster's code server as a process of its own, which webserver and daemon share, started again where it dies.

Those that they start themselves are two, and the daemon replaces its own every minute, for seconds of a core.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from face_assets.automation import forked_runs
from face_assets.core.files import write_text
from face_assets.core.project_files import ROOT
from face_assets.core.subprocesses import python

NAME = "face-assets"
SECONDS_BETWEEN_STARTS = 2.0
CALLS = {"DAGSTER_GRPC_MAX_WORKERS": "32"}
"""Environment of code servers: the most calls at a time, of which a sensor's tick that waits is one."""
LONGEST_SOCKET = 100
"""Bytes of a Unix socket's path (unix(7): 108)."""


def socket_path(home: Path) -> Path:
    """The code server's socket."""
    return home / "run" / "code.socket"


def fits(home: Path) -> bool:
    """True where the path of the socket is not too long."""
    return len(str(socket_path(home).absolute()).encode()) <= LONGEST_SOCKET


def write_workspace(home: Path) -> Path:
    """Writes the workspace file of webserver and daemon, which names the socket; returns its path."""
    file = home / "run" / "workspace.yaml"
    write_text(file, f"load_from:\n  - grpc_server: {{socket: '{socket_path(home).absolute()}', location_name: {NAME}}}\n")
    return file


def main() -> None:
    """Runs the code server on the socket that is the argument until TERM."""
    socket = Path(sys.argv[1])
    command = python("-m", forked_runs.__name__, "--socket", str(socket), "--location-name", NAME)
    keep([*command, "--python-file", str(ROOT / "definitions.py"), "--working-directory", str(ROOT)], socket)


def keep(command: Sequence[str], socket: Path) -> NoReturn:
    """Runs `command`, which listens on `socket`, and starts it again where it ends, until TERM."""
    signal.signal(signal.SIGTERM, _end)
    while True:
        socket.unlink(missing_ok=True)
        server = subprocess.Popen(list(command))
        try:
            status = server.wait()
        finally:
            server.terminate()
        print(f"The code server ended with status {status}: it is started again.", file=sys.stderr, flush=True)
        time.sleep(SECONDS_BETWEEN_STARTS)


def _end(signum: int, _: FrameType | None) -> None:
    raise SystemExit(128 + signum)


if __name__ == "__main__":
    main()
