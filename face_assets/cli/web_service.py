"""The web service as a background process of `face-assets up`."""

import os
import sys
from pathlib import Path

from face_assets.automation.services import record, wait_until_up
from face_assets.core import processes
from face_assets.core.direct_connections import responds
from face_assets.core.errors import UserError
from face_assets.core.ports import require_free
from face_assets.core.settings import LOOPBACK, Settings, load_settings
from face_assets.storage.home import Home

WEB = "web"
SECONDS_TO_START = 60.0


def start_web(settings: Settings) -> str:
    """Starts the web service if it does not run; returns its address. Raises UserError."""
    home = Home(settings.home)
    if processes.recorded(record(home, WEB)) is None:
        require_free(LOOPBACK, settings.web_port, "the web service", "FACE_ASSETS_WEB_PORT")
        command = [str(Path(sys.executable).with_name("face-assets")), "web"]
        variables = {**os.environ, "FACE_ASSETS_HOME": str(home.root)}  # absolute, for it starts in another folder
        processes.start(command, home.logs / "web.log", record(home, WEB), variables, home.root)
    wait_until_up(home, WEB, "web service", lambda: web_answers(settings), SECONDS_TO_START)
    return settings.web_address


def web_answers(settings: Settings) -> bool:
    """True if the web service responds."""
    return responds(f"{settings.web_address}/api/v1/alive")


def page_address(name: str) -> str:
    """Returns the address of a page of the running web service. Raises UserError where it does not run."""
    settings = load_settings()
    if not web_answers(settings):
        raise UserError(f"The web service does not respond at {settings.web_address}: `face-assets up` starts it.")
    return f"{settings.web_address}/{name}"


def stop_web(settings: Settings) -> list[str]:
    """Stops the web service; returns its name where it ran."""
    return [WEB] if processes.stop(record(Home(settings.home), WEB)) else []
