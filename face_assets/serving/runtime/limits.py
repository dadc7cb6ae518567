"""Limits of a request in the models: bytes, pixels, faces, seconds and how many may wait. Those of training photos stand elsewhere."""

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
"""Waiting photos may hold as many bytes as so many photos of `max_bytes`."""
FORMATS = ("JPEG", "PNG", "WEBP")
PLAIN_MODES = ("1", "L", "RGB", "YCbCr")
PLAIN_BYTES, OTHER_BYTES = 11, 20
"""Peak memory of decoding a pixel: as RGB, and where transparency, 16 bits or another colour space are converted first (measured)."""
LARGE_BYTES = 150_000_000


class BusyError(Exception):
    """Too many requests wait already."""


class DroppedError(Exception):
    """Nobody waits for the answer any more: the caller has left, or the request's time is over."""


@dataclass(frozen=True)
class Limits:
    """See params.Serving for meanings and bounds; releases that do not state one get the default."""

    max_bytes: int = MAX_BYTES
    max_megapixels: float = MAX_MEGAPIXELS
    max_faces: int = MAX_FACES
    max_waiting: int = MAX_WAITING
    max_seconds: float = MAX_SECONDS

    @staticmethod
    def of(recognizer: Mapping[str, Any]) -> "Limits":
        """The limits in a release's recognizer.json; never more megapixels than its training photos may have."""
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
    """Counts requests that wait or are under way, and their bytes. For several threads at once."""

    def __init__(self, limits: Limits):
        self._requests, self._bytes = limits.max_waiting, WAITING_BYTES * limits.max_bytes
        self._lock = threading.Lock()

    def enter(self, size: int) -> None:
        """Takes in a request of `size` bytes; each is followed by one `leave`. Raises BusyError."""
        with self._lock:
            if self._requests < 1 or self._bytes < size:
                raise BusyError("too many requests wait")
            self._requests -= 1
            self._bytes -= size

    def leave(self, size: int) -> None:
        """Ends a request that was taken in."""
        with self._lock:
            self._requests += 1
            self._bytes += size


def require_waiting_caller(sender: Any, began: float, seconds: float) -> None:
    """Raises DroppedError where the caller has left, or `seconds` have passed since `began` (time.monotonic).

    sender: the request's response sender, of Triton's Python backend."""
    if sender.is_cancelled():
        raise DroppedError("the caller has left")
    if time.monotonic() - began > seconds:
        raise DroppedError(f"not worked on within {seconds:g} s: too much waits")


class DecodingRoom:
    """Room for the pixels of photos that are decoded. Of large photos one is under way at a time among all processes that name the same
    lock file, so that their memory does not add up. A context that ends gives the room back, and may be entered again."""

    def __init__(self, lock: Path):
        """lock: any file that can be read."""
        self._lock = lock
        self._held: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def take(self, content: bytes) -> None:
        """Waits until the photo may be decoded."""
        if self._held is None and _decoded_bytes(content) > LARGE_BYTES:
            self._held = open(self._lock, "rb")  # noqa: SIM115  # the lock ends with the file, and with the process
            fcntl.flock(self._held, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        if self._held:
            self._held.close()
            self._held = None


def _decoded_bytes(content: bytes) -> float:
    """Peak memory of decoding a photo, from its header alone; infinite where that cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                plain = image.mode in PLAIN_MODES and "transparency" not in image.info
                return image.width * image.height * (PLAIN_BYTES if plain else OTHER_BYTES)
    except Exception:  # decode says why the photo cannot be used
        return float("inf")


def within(boxes: npt.NDArray[np.float32], height: int, width: int) -> npt.NDArray[np.float32]:
    """The part of each box, x1 y1 x2 y2, that lies in the photo: float32 (n, 4)."""
    return np.clip(boxes, 0, np.array([width, height, width, height], np.float32))
