"""The web service as a process: uvicorn on loopback."""

import uvicorn

from face_assets.core.ports import require_free
from face_assets.core.settings import LOOPBACK, load_settings
from face_assets.registry.workspace import Workspace
from face_assets.serving.internal_token import internal_token
from face_assets.serving.steps import target
from face_assets.web.app import create_app
from face_assets.web.recognizer import Endpoint, Recognizer

SECONDS_TO_END = 5


def live_endpoint() -> Endpoint:
    """Returns the server of this state directory. Raises UserError where none was started."""
    workspace = Workspace.load()
    client = target(workspace).client()
    return Endpoint(client.address, client.headers or {}, internal_token(workspace.home.serving))


def run_web() -> None:
    """Serves until it is stopped. Raises UserError where the port is taken."""
    settings = load_settings()
    require_free(LOOPBACK, settings.web_port, "the web service", "FACE_ASSETS_WEB_PORT")
    app = create_app(settings, Recognizer(live_endpoint))
    # no access log: who is recognized, and when, is nobody's to read
    uvicorn.run(
        app,
        host=LOOPBACK,
        port=settings.web_port,
        access_log=False,
        log_level="warning",
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=SECONDS_TO_END,
    )
