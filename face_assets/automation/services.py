"""Dagster's code server, webserver and daemon as background processes of a home."""

import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from face_assets.automation import code_server
from face_assets.automation.change_watch import wake_sensors
from face_assets.core import processes
from face_assets.core.direct_connections import responds
from face_assets.core.errors import UserError
from face_assets.core.ports import require_free
from face_assets.core.project_files import ROOT
from face_assets.core.settings import Settings
from face_assets.core.subprocesses import python
from face_assets.event_log.instance import WORKSPACE, open_instance
from face_assets.storage.home import Home

WEBSERVER = "webserver"
DAEMON = "daemon"
CODE = "code"
SECONDS_TO_START = 90.0
SECONDS_BETWEEN_LOOKS = 0.2


def ui_address(settings: Settings) -> str:
    """URL of the UI."""
    return f"http://{settings.ui_host}:{settings.ui_port}"


def record(home: Home, name: str) -> Path:
    """Path of the record of a service's process."""
    return home.root / "run" / f"{name}.json"


def start_ui(settings: Settings) -> None:
    """Starts webserver and daemon if they do not run, and waits until the UI responds. Raises UserError."""
    home = Home(settings.home)
    with open_instance(home):  # makes the databases, which webserver and daemon would both make in a fresh home
        pass
    environment = {**os.environ, **code_server.CALLS}
    workspace = _start_code_server(home, environment)
    programs = Path(sys.executable).parent
    if processes.recorded(record(home, WEBSERVER)) is None:
        require_free(settings.ui_host, settings.ui_port, "the UI", "FACE_ASSETS_UI_PORT")
        command = [str(programs / "dagster-webserver"), "-h", settings.ui_host, "-p", str(settings.ui_port), "-w", str(workspace)]
        processes.start(command, home.logs / "webserver.log", record(home, WEBSERVER), environment, ROOT)
    if processes.recorded(record(home, DAEMON)) is None:
        command = [str(programs / "dagster-daemon"), "run", "-w", str(workspace)]
        processes.start(command, home.logs / "daemon.log", record(home, DAEMON), environment, ROOT)
    wait_until_up(home, WEBSERVER, "UI", lambda: ui_answers(settings))


def _start_code_server(home: Home, environment: Mapping[str, str]) -> Path:
    """Starts the code server if it does not run, and waits until it listens; returns the workspace file of its clients.

    Where the path of its socket would be too long, they start code servers of their own. Raises UserError.
    """
    if not code_server.fits(home.root):
        return WORKSPACE
    socket_path = code_server.socket_path(home.root)
    if processes.recorded(record(home, CODE)) is None:
        socket_path.unlink(missing_ok=True)
        command = python("-m", code_server.__name__, str(socket_path.absolute()))
        processes.start(command, home.logs / "code.log", record(home, CODE), environment, ROOT)
    wait_until_up(home, CODE, "code server", lambda: _listens(socket_path))
    return code_server.write_workspace(home.root)


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
        return True


def wait_until_up(home: Home, name: str, title: str, answers: Callable[[], bool], seconds: float = SECONDS_TO_START) -> None:
    """Waits until a service responds. Raises UserError, with its title and its log, where its process ends or `seconds` pass before."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if answers():
            return
        if processes.recorded(record(home, name)) is None:
            break
        time.sleep(SECONDS_BETWEEN_LOOKS)
    raise UserError(f"The {title} did not start: the end of {home.logs / name}.log says why.")


def ui_answers(settings: Settings) -> bool:
    """True if the webserver responds."""
    return responds(f"{ui_address(settings)}/server_info")


def stop_ui(settings: Settings) -> list[str]:
    """Stops daemon, webserver and code server. Returns the names of those that ran."""
    home = Home(settings.home)
    wake_sensors(home.root)  # else the daemon ends with the ticks that wait
    return [name for name in (DAEMON, WEBSERVER, CODE) if processes.stop(record(home, name))]
