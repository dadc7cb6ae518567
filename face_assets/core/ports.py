"""Ports that our servers are about to bind."""

import errno
import socket
import time

from face_assets.core.errors import UserError

SECONDS_TO_FREE = 5.0
POLL_SECONDS = 0.1


def require_free(host: str, port: int, what: str, setting: str) -> None:
    """Waits until the port can be bound. Raises UserError that names the setting where it cannot.

    A server that was just killed keeps its port until the last of its threads and children has ended, so a busy port is polled.
    """
    ends = time.monotonic() + SECONDS_TO_FREE
    while error := _bind_error(host, port):
        if time.monotonic() > ends:
            raise UserError(
                f"Port {port} for {what} cannot be used on {host} ({error.strerror}): stop the process that uses it, or set "
                f"{setting} to a free one."
            ) from error
        time.sleep(POLL_SECONDS)


def is_taken(host: str, port: int) -> bool:
    """True where a process of this machine listens there; False for an address that this machine does not have."""
    error = _bind_error(host, port)
    return error is not None and error.errno == errno.EADDRINUSE


def _bind_error(host: str, port: int) -> OSError | None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
    return None
