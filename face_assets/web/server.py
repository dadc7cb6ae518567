"""The web service as a process: uvicorn on loopback, or behind a proxy."""

import os
import socket
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from face_assets.core.ports import require_free
from face_assets.core.settings import LOOPBACK
from face_assets.registry.workspace import Workspace
from face_assets.serving.containers.gateway import WEB_SOCKET, web_folder
from face_assets.serving.docker_steps import folder as containers_folder
from face_assets.serving.internal_token import internal_token, proxy_token
from face_assets.serving.steps import target
from face_assets.web.app import create_app
from face_assets.web.recognizer import Endpoint, Recognizer

SECONDS_TO_END = 5
EVERYWHERE = "0.0.0.0"


def live_endpoint() -> Endpoint:
    """Returns the server of this state directory. Raises UserError where none was started."""
    workspace = Workspace.load()
    client = target(workspace).client()
    return Endpoint(client.address, client.headers or {}, internal_token(workspace.home.serving))


def run_web(behind_proxy: bool = False) -> None:
    """Serves until it is stopped, on loopback, and for the gateway on a socket. Raises UserError where the port is taken.

    behind_proxy: on all addresses, and only what a proxy with the secret lets through, as in Compose.
    """
    workspace = Workspace.load()
    settings, host = workspace.settings, EVERYWHERE if behind_proxy else LOOPBACK
    require_free(host, settings.web_port, "the web service", "FACE_ASSETS_WEB_PORT")
    root = workspace.home.serving
    root.mkdir(parents=True, exist_ok=True)
    app = create_app(settings, Recognizer(live_endpoint), token=proxy_token(root), is_local=not behind_proxy)
    listeners = [_tcp(host, settings.web_port)]
    if not behind_proxy:
        listeners.append(listener_for_gateway(web_folder(containers_folder(workspace))))
    serve(app, listeners)


def serve(app: FastAPI, listeners: list[socket.socket]) -> None:
    """Serves an application until the process is stopped."""
    # no access log: who is recognized, and when, is nobody's to read
    config = uvicorn.Config(
        app,
        access_log=False,
        log_level="warning",
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=SECONDS_TO_END,
    )
    uvicorn.Server(config).run(sockets=listeners)


def _tcp(host: str, port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener


def listener_for_gateway(folder: Path) -> socket.socket:
    """Returns a socket that the gateway's container mounts; its user is another, and the folder's parents keep everybody else out."""
    listener = socket.socket(socket.AF_UNIX)
    (folder / WEB_SOCKET).unlink(missing_ok=True)
    opened = os.open(folder, os.O_RDONLY)
    try:
        listener.bind(f"/proc/self/fd/{opened}/{WEB_SOCKET}")  # the path of a socket may have 107 bytes
    finally:
        os.close(opened)
    (folder / WEB_SOCKET).chmod(0o666)
    return listener
