"""Waiting for other processes and threads."""

import time
from collections.abc import Callable


def until(true: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Waits up to `seconds` for `true`, and returns its last value."""
    ends = time.monotonic() + seconds
    while not true():
        if time.monotonic() > ends:
            return False
        time.sleep(0.1)
    return True


def until_the_next_second() -> None:
    """Waits for the next second of the clock, since GTO orders tags by whole seconds."""
    now = int(time.time())
    assert until(lambda: int(time.time()) > now)
