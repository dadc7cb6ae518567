"""Dagster's webserver and daemon as background processes of a home."""

import os
import sys
import time
import urllib.error
from pathlib import Path

from face_assets.core import processes
from face_assets.core.direct_connections import open_url
from face_assets.core.errors import UserError
from face_assets.core.ports import require_free
from face_assets.core.project_files import ROOT
from face_assets.core.settings import Settings
from face_assets.event_log.instance import WORKSPACE, open_instance
from face_assets.storage.home import Home

WEBSERVER = "webserver"
DAEMON = "daemon"
SECONDS_TO_START = 90.0


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
    _wait_for_ui(settings, home)


def _wait_for_ui(settings: Settings, home: Home) -> None:
    ends = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < ends:
        if ui_answers(settings):
            return
        if processes.recorded(record(home, WEBSERVER)) is None:
            break
        time.sleep(0.3)
    raise UserError(f"The UI did not start: the end of {home.logs / 'webserver.log'} says why.")


def ui_answers(settings: Settings) -> bool:
    """True if the webserver responds."""
    try:
        with open_url(f"{ui_address(settings)}/server_info", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def stop_ui(settings: Settings) -> list[str]:
    """Stops webserver and daemon. Returns the names of those that ran."""
    home = Home(settings.home)
    return [name for name in (DAEMON, WEBSERVER) if processes.stop(record(home, name))]
