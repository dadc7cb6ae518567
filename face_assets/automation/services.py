"""Dagster's webserver and daemon as background processes of a home."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from face_assets.core import processes
from face_assets.core.direct_connections import responds
from face_assets.core.errors import UserError
from face_assets.core.ports import require_free
from face_assets.core.project_files import ROOT
from face_assets.core.settings import Settings
from face_assets.event_log.instance import WORKSPACE, open_instance
from face_assets.storage.home import Home

WEBSERVER = "webserver"
DAEMON = "daemon"
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
    programs = Path(sys.executable).parent
    if processes.recorded(record(home, WEBSERVER)) is None:
        require_free(settings.ui_host, settings.ui_port, "the UI", "FACE_ASSETS_UI_PORT")
        command = [str(programs / "dagster-webserver"), "-h", settings.ui_host, "-p", str(settings.ui_port), "-w", str(WORKSPACE)]
        processes.start(command, home.logs / "webserver.log", record(home, WEBSERVER), os.environ, ROOT)
    if processes.recorded(record(home, DAEMON)) is None:
        command = [str(programs / "dagster-daemon"), "run", "-w", str(WORKSPACE)]
        processes.start(command, home.logs / "daemon.log", record(home, DAEMON), os.environ, ROOT)
    wait_until_up(home, WEBSERVER, "UI", lambda: ui_answers(settings))


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
    """Stops webserver and daemon. Returns the names of those that ran."""
    home = Home(settings.home)
    return [name for name in (DAEMON, WEBSERVER) if processes.stop(record(home, name))]
