"""Waiting for what another process or thread does."""

import time
from collections.abc import Callable


def until(true: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Whether it becomes true within so many seconds."""
    ends = time.monotonic() + seconds
    while not true() and time.monotonic() < ends:
        time.sleep(0.1)
    return true()


def until_the_next_second() -> None:
    """Returns in a later second of the clock than now: GTO tells tags apart by whole seconds."""
    now = int(time.time())
    assert until(lambda: int(time.time()) > now)
