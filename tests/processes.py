"""Processes of this machine by their command, while others begin and end."""

from collections.abc import Iterable
from contextlib import suppress

import psutil


def processes_naming(text: str, among: Iterable[psutil.Process] | None = None) -> list[psutil.Process]:
    """The running processes whose command line holds the text; what ends while it is asked is not among them."""
    found = []
    for one in psutil.process_iter() if among is None else among:
        with suppress(psutil.Error):
            if text in " ".join(one.cmdline()):
                found.append(one)
    return found
