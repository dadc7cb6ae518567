"""Limits of a request in the models: bytes, pixels, faces, seconds and waiting requests. Training photos have limits of their own."""

import fcntl
import io
import threading
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from face_assets.dataset.decoding import UnusablePhoto

MAX_BYTES = 20_000_000
MAX_MEGAPIXELS = 25.0
MAX_FACES = 100
MAX_WAITING = 128
MAX_SECONDS = 30.0
WAITING_BYTES = 8
"""Bytes of all waiting photos, in photos of `max_bytes`."""
FORMATS = ("JPEG", "PNG", "WEBP")
PLAIN_MODES = ("1", "L", "RGB", "YCbCr")
PLAIN_BYTES, OTHER_BYTES = 11, 20
"""Peak memory of decoding a pixel (measured): of RGB, and of images with transparency, 16 bits or another colour space."""
LARGE_BYTES = 150_000_000


class BusyError(Exception):
    """Error: too many requests wait already."""


class DroppedError(Exception):
    """Error: the caller has left, or the request's time is over."""


@dataclass(frozen=True)
class Limits:
    """Limits of a release, as in params.Serving; a release without one of them has its default."""

    max_bytes: int = MAX_BYTES
    max_megapixels: float = MAX_MEGAPIXELS
    max_faces: int = MAX_FACES
    max_waiting: int = MAX_WAITING
    max_seconds: float = MAX_SECONDS

    @staticmethod
    def of(recognizer: Mapping[str, Any]) -> "Limits":
        """Returns the limits of a release's recognizer.json, with at most the megapixels of its training photos."""
        stated = {one.name: recognizer["serving"][one.name] for one in fields(Limits) if one.name in recognizer["serving"]}
        megapixels = min(stated.pop("max_megapixels", MAX_MEGAPIXELS), recognizer["max_megapixels"])
        return Limits(max_megapixels=megapixels, **stated)

    def check_content(self, content: bytes) -> None:
        """Raises UnusablePhoto for a photo of too many bytes."""
        if len(content) > self.max_bytes:
            raise UnusablePhoto(f"{len(content) / 1e6:.1f} MB, more than {self.max_bytes / 1e6:.1f}")

    def check_faces(self, faces: int) -> None:
        """Raises UnusablePhoto for a photo of too many faces."""
        if faces > self.max_faces:
            raise UnusablePhoto(f"{faces} faces, more than {self.max_faces}")


class Admission:
    """Admission of requests by the number and bytes of their photos that wait or are under way. Thread-safe."""

    def __init__(self, limits: Limits):
        self._requests, self._bytes = limits.max_waiting, WAITING_BYTES * limits.max_bytes
        self._lock = threading.Lock()

    def enter(self, size: int, photos: int = 1) -> None:
        """Admits a request of `size` bytes, to be followed by one `leave`. Raises BusyError."""
        with self._lock:
            if self._requests < photos or self._bytes < size:
                raise BusyError("too many requests wait")
            self._requests -= photos
            self._bytes -= size

    def leave(self, size: int, photos: int = 1) -> None:
        """Ends an admitted request."""
        with self._lock:
            self._requests += photos
            self._bytes += size


def require_waiting_caller(sender: Any, began: float, seconds: float) -> None:
    """Raises DroppedError where the caller has left, or `seconds` have passed since `began` (time.monotonic).

    sender: the request's response sender, of Triton's Python backend.
    """
    if sender.is_cancelled():
        raise DroppedError("the caller has left")
    if time.monotonic() - began > seconds:
        raise DroppedError(f"not worked on within {seconds:g} s: too much waits")


class DecodingRoom:
    """A lock between processes for the decoding of large photos: one at a time, so that their memory does not add up.

    All processes with the same lock file take part. The end of the context releases the lock; the context may be entered again.
    """

    def __init__(self, lock: Path):
        """Remembers the lock file: any file that can be read."""
        self._lock = lock
        self._locked: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def take(self, content: bytes) -> None:
        """Waits for the lock, where the photo is large."""
        if self._locked is None and _decoded_bytes(content) > LARGE_BYTES:
            self._locked = open(self._lock, "rb")  # noqa: SIM115  # the lock ends with the file, and with the process
            fcntl.flock(self._locked, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        if self._locked:
            self._locked.close()
            self._locked = None


def _decoded_bytes(content: bytes) -> float:
    """Returns the peak memory of decoding a photo, from its header alone; infinite where the header cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                plain = image.mode in PLAIN_MODES and "transparency" not in image.info
                return image.width * image.height * (PLAIN_BYTES if plain else OTHER_BYTES)
    except Exception:  # `decode` raises the reason
        return float("inf")


def within(boxes: npt.NDArray[np.float32], height: int, width: int) -> npt.NDArray[np.float32]:
    """Returns the part of each box, x1 y1 x2 y2, that lies in the photo: float32 (n, 4)."""
    return np.clip(boxes, 0, np.array([width, height, width, height], np.float32))
