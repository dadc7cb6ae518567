"""Ports that servers of ours are about to take."""

import errno
import socket
import time

from face_assets.core.errors import UserError

SECONDS_TO_FREE = 5.0
POLL_SECONDS = 0.1


def require_free(host: str, port: int, what: str, setting: str) -> None:
    """Returns once the port can be listened on. Raises UserError that names the setting where it cannot.

    A server that was just killed holds its port until the last of its threads and children is gone, so a taken one is asked for a while.
    """
    ends = time.monotonic() + SECONDS_TO_FREE
    while error := _refusal(host, port):
        if time.monotonic() > ends:
            raise UserError(
                f"Port {port} for {what} cannot be used on {host} ({error.strerror}): stop what holds it, or set {setting} to a free one."
            ) from error
        time.sleep(POLL_SECONDS)


def is_taken(host: str, port: int) -> bool:
    """Whether somebody on this machine listens there; False for an address that this machine does not have."""
    error = _refusal(host, port)
    return error is not None and error.errno == errno.EADDRINUSE


def _refusal(host: str, port: int) -> OSError | None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
    return None
