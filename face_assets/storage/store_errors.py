"""Errors of a shared store: as sentences, and once where it is down."""

import errno
import io
import logging
import os
import threading
import time
from collections.abc import Callable
from functools import cache, wraps
from typing import Any, BinaryIO, Concatenate, ParamSpec, TypeVar

from face_assets.core.credentials import without_credentials
from face_assets.core.errors import UnreachableError

SECONDS_OF_REST = 60.0
"""After a failed call the next one is tried so much later, so that work with a store that is down does not wait for it at every step."""
CURES = {
    errno.EACCES: "this machine may not do that there: see its rights and keys",
    errno.EPERM: "this machine may not do that there: see its rights and keys",
    errno.EROFS: "it is read-only",
    errno.ENOSPC: "it is full",
    errno.EDQUOT: "it is full: a quota is used up",
}

P = ParamSpec("P")
T = TypeVar("T")


class StoreError(UnreachableError):
    """The store cannot be read or written now. Work that does not depend on it goes on."""


def store_error(address: str, error: BaseException) -> StoreError:
    """The sentence for an error of a file system or of S3."""
    known = CURES.get(getattr(error, "errno", None) or 0)
    words = without_credentials(" ".join(str(error).split())) or type(error).__name__
    return StoreError(f"The store {without_credentials(address)} failed: {known or words}.")


@cache
def _logged(process: int, sentence: str) -> None:
    logging.getLogger(__name__).warning(sentence)


def warn(sentence: str) -> None:
    """Logs a warning, once in a process."""
    _logged(os.getpid(), sentence)


class _Failures:
    """The last failure of each address in this process."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, StoreError]] = {}
        self._lock = threading.Lock()

    def check(self, address: str) -> None:
        """Raises the last error of an address that failed a short while ago."""
        with self._lock:
            when, error = self._last.get(address, (0.0, None))
        if error and time.monotonic() < when + SECONDS_OF_REST:
            raise error

    def note(self, address: str, error: StoreError) -> None:
        """Notes an error."""
        with self._lock:
            self._last[address] = time.monotonic(), error


_failures = _Failures()


def reported(method: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
    """Has a method of a store raise FileNotFoundError, or StoreError for all else that fails."""

    @wraps(method)
    def call(self: Any, *args: P.args, **kwargs: P.kwargs) -> T:
        _failures.check(self.address)
        try:
            return method(self, *args, **kwargs)
        except FileNotFoundError:
            raise
        except Exception as error:  # botocore's and aiohttp's errors have no common base
            found = store_error(self.address, error)
            if not isinstance(error, PermissionError):  # who may not write may read
                _failures.note(self.address, found)
            raise found from error

    return call  # type: ignore[return-value]


class Reader(io.RawIOBase):
    """A file whose errors are StoreError."""

    def __init__(self, file: BinaryIO, address: str):
        self.file, self.address = file, address

    @reported
    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        try:
            return self.file.read(size)
        except FileNotFoundError as error:
            raise OSError("an object was removed while it was read") from error

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """Moves to an offset, which it returns."""
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        """The present offset."""
        return self.file.tell()

    def close(self) -> None:
        """Closes the file."""
        self.file.close()
        super().close()
