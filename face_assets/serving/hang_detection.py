"""Hang detection: checks a server that does not respond by its other ports and its sockets, before it is ended."""

import socket
import urllib.error

import psutil

from face_assets.core.direct_connections import GRPC_OPTIONS, open_url
from face_assets.serving.triton_server import Address

SECONDS = 2.0
BAD_GATEWAY = 502


def reason_to_keep(pid: int, address: Address) -> str | None:
    """Returns why the server's process must not be ended: it responds elsewhere, or cannot be reached from here. None where it hangs.

    A process that listens on no port serves nobody. One that accepts connections and responds on none of its ports hangs.
    """
    ports = address.ports
    try:
        sockets = psutil.Process(pid).net_connections(kind="tcp")
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        return "its sockets cannot be seen from here"
    listening = {one.laddr.port for one in sockets if one.status == psutil.CONN_LISTEN} & {ports.http, ports.grpc, ports.metrics}
    for port in sorted(listening):
        try:
            socket.create_connection((address.host, port), SECONDS).close()
        except OSError as error:
            return f"it listens on port {port}, which cannot be reached from here ({error})"
    if ports.metrics in listening and _answers_http(f"http://{address.host}:{ports.metrics}/metrics"):
        return f"its metrics respond on port {ports.metrics}"
    if ports.grpc in listening and _answers_grpc(f"{address.host}:{ports.grpc}"):
        return f"its gRPC responds on port {ports.grpc}"
    return None


def _answers_http(url: str) -> bool:
    try:
        open_url(url, SECONDS).close()
    except urllib.error.HTTPError as error:
        return error.code != BAD_GATEWAY  # the frontend's status where Triton does not respond
    except (urllib.error.URLError, OSError):
        return False
    return True


def _answers_grpc(address: str) -> bool:
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    try:
        InferenceServerClient(address, channel_args=list(GRPC_OPTIONS)).is_server_live(client_timeout=SECONDS)
    except InferenceServerException as error:
        return error.status() not in ("StatusCode.UNAVAILABLE", "StatusCode.DEADLINE_EXCEEDED")
    return True
