"""Inference requests that were forwarded to Triton, and how long there has been no response to any: the sign of one that hangs."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class PendingRequests:
    """The requests under way. clock: seconds, as time.monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._count = 0
        self._since: float | None = None

    @contextmanager
    def forwarded(self) -> Iterator[None]:
        """Counts a request while it is under way. An error is a response, but for CancelledError and TimeoutError: the caller has left."""
        self._count += 1
        if self._since is None:
            self._since = self._clock()
        try:
            yield
        except (asyncio.CancelledError, TimeoutError):
            self._count -= 1
            raise
        except BaseException:
            self._respond()
            raise
        self._respond()

    def _respond(self) -> None:
        self._count -= 1
        self._since = self._clock() if self._count else None

    def forget(self) -> None:
        """Expects no response of a Triton that has ended."""
        self._since = None

    @property
    def seconds_without_response(self) -> float:
        """The seconds in which a request has waited, or its caller has left, and none got a response; 0 where none does."""
        return 0.0 if self._since is None else self._clock() - self._since
