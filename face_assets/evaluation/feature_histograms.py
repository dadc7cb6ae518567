"""Feature histograms of the photos that a server sees in a window of time: fixed bins, merged by addition, without any face.

docs/explanation/drift.md says what is in them and why no face can be made from them.
"""

import io
import os
import re
import stat
import struct
import tempfile
import zipfile
import zlib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float32]

FORMAT = "face-assets-sketch-2"
WITHOUT_QUALITY = "face-assets-sketch-1"
"""Format of earlier versions, whose features are the same but for the quality."""
BINS = 32
PROJECTIONS = 16
FEWEST_FACES = 50  # a file shows the embeddings of so many at a time, and of no fewer; docs/explanation/drift.md says why
LARGEST_FILE = 1_000_000
MOST = 2**37  # in a file: photos of an hour, and seconds since 1970
RELEASE = re.compile(r"[A-Za-z0-9._+-]{1,100}")
THINNED = 2  # the pixels that appearance() looks at


@dataclass(frozen=True)
class Feature:
    """A measured quantity with BINS equal bins between `low` and `high`. Values outside count in the outermost bin."""

    name: str
    low: float
    high: float
    unit: str

    @property
    def width(self) -> float:
        """Width of a bin, in `unit`."""
        return (self.high - self.low) / BINS


FEATURES = (
    Feature("faces", 0.0, 32.0, "faces in the photo"),
    Feature("detection", 0.0, 5.0, "-log10(1 - probability)"),
    Feature("face_size", 3.0, 11.0, "log2(pixels)"),
    Feature("brightness", 0.0, 256.0, "mean of 0 to 255"),
    Feature("sharpness", 0.0, 8.0, "log2(1 + mean curvature)"),
    Feature("saturation", 0.0, 8.0, "log2(1 + mean spread of the channels)"),
    Feature("similarity", -0.6, 1.0, "cosine with the nearest person enrolled"),
    Feature("quality", 0.0, 100.0, "0 to 100"),
    *(Feature(f"embedding_{number:02d}", -8.0, 8.0, "projection, in standard deviations of a random one") for number in range(PROJECTIONS)),
)
NAMES = tuple(feature.name for feature in FEATURES)
FIRST_PROJECTION = NAMES.index("embedding_00")
SIMILARITY, QUALITY = NAMES.index("similarity"), NAMES.index("quality")
LOW = np.array([feature.low for feature in FEATURES])
WIDTH = np.array([feature.width for feature in FEATURES])
COUNTS = ("photos", "without_face", "refused", "faces", "accepted")

# what numpy and zipfile raise on bytes that are not what they say
BROKEN = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    AttributeError,
    OverflowError,
    MemoryError,
    SyntaxError,
    EOFError,
    RuntimeError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


class BrokenHistograms(ValueError):
    """The file has no feature histograms that this version reads; the message names the file and the reason."""


@dataclass
class FeatureHistograms:
    """Feature histograms of one release in the window of `seconds` that begins at `window` (seconds since 1970, UTC).

    counts: int64 (features, BINS), of the photos' subjects; refused: rejected photos; faces: all faces; accepted: those recognized as
    somebody; shown: projections in a file, which grow by FEWEST_FACES faces at a time; unshown: faces since.
    """

    release: str
    window: int
    seconds: int
    counts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((len(FEATURES), BINS), np.int64))
    photos: int = 0
    without_face: int = 0
    refused: int = 0
    faces: int = 0
    accepted: int = 0
    shown: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((PROJECTIONS, BINS), np.int64))
    unshown: int = 0

    def add(self, bins: npt.NDArray[np.int64], faces: int, accepted: int) -> None:
        """Counts one photo. bins: int64 (features,), of `bins_of`; -1 for a missing value."""
        known = np.flatnonzero(bins >= 0)
        self.counts[known, bins[known]] += 1
        self.photos += 1
        self.without_face += faces == 0
        self.faces += faces
        self.accepted += accepted
        self.unshown += bins[FIRST_PROJECTION] >= 0
        if self.unshown >= FEWEST_FACES:
            self.shown, self.unshown = self.counts[FIRST_PROJECTION:].copy(), 0

    def merge(self, other: "FeatureHistograms") -> None:
        """Adds the counts of other histograms of the same release."""
        self.counts += other.counts
        self.shown = self.shown + other.shown
        self.unshown += other.unshown
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def save(self, path: Path) -> None:
        """Writes the file `path`, whole or not at all. Raises OSError."""
        counts = self.counts.astype(np.uint32)
        counts[FIRST_PROJECTION:] = self.shown  # otherwise the difference of two files would show one face
        numbers = np.array([self.window, self.seconds, *(getattr(self, name) for name in COUNTS)], np.int64)
        output = io.BytesIO()
        np.savez_compressed(output, format=np.array(FORMAT), release=np.array(self.release), numbers=numbers, counts=counts)
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, aside = tempfile.mkstemp(prefix=".aside-", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(output.getvalue())
                file.flush()
                os.fsync(file.fileno())
            Path(aside).chmod(0o644)
            Path(aside).replace(path)
        except BaseException:
            Path(aside).unlink(missing_ok=True)
            raise

    @staticmethod
    def load(path: Path) -> "FeatureHistograms":
        """Returns the histograms in a file. Raises BrokenHistograms that names the file and the reason."""
        try:
            content = io.BytesIO(_content(path))
            with zipfile.ZipFile(content) as archive:
                if sum(part.file_size for part in archive.infolist()) > LARGEST_FILE:
                    raise BrokenHistograms(f"{path} is packed, and larger than any feature histograms")
            with np.load(content, allow_pickle=False) as stored:
                found = str(stored["format"])
                if found not in (FORMAT, WITHOUT_QUALITY):
                    raise BrokenHistograms(f"{path} has format {found!r}, and {FORMAT!r} is read: another version of the server wrote it")
                window, seconds, *numbers = (int(number) for number in stored["numbers"])
                counts = with_quality(found, stored["counts"].astype(np.int64))
                release = str(stored["release"])
        except BrokenHistograms:
            raise
        except BROKEN as error:
            raise BrokenHistograms(f"{path} holds no feature histograms: {error or type(error).__name__}") from error
        fits = counts.shape == (len(FEATURES), BINS) and len(numbers) == len(COUNTS) and RELEASE.fullmatch(release)
        if not fits or min(*numbers, counts.min()) < 0 or max(*numbers, counts.max()) > MOST or seconds <= 0 or not 0 <= window <= MOST:
            raise BrokenHistograms(f"{path} holds no feature histograms: its numbers do not fit together")
        shown = counts[FIRST_PROJECTION:].copy()
        return FeatureHistograms(release, window, seconds, counts, **dict(zip(COUNTS, numbers, strict=True)), shown=shown)


def _content(path: Path) -> bytes:
    """Content of a file in a folder that a server's user may write: no link, no pipe, and not larger than histograms are."""
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise BrokenHistograms(f"{path} is no file")
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise BrokenHistograms(f"{path} is larger than any feature histograms")
    return content


def with_quality(found: str, counts: npt.NDArray[Any], axis: int = 0) -> npt.NDArray[Any]:
    """An array of the format `found` with an entry for each feature along `axis`: 0 for the quality where the format has none."""
    known = counts.shape[axis] > QUALITY if counts.ndim > axis else False
    return np.insert(counts, QUALITY, 0, axis=axis) if found == WITHOUT_QUALITY and known else counts


def measure(
    faces: npt.NDArray[Any],
    crops: npt.NDArray[np.uint8],
    boxes: npt.NDArray[Any],
    probabilities: npt.NDArray[Any],
    embeddings: npt.NDArray[Any],
    similarities: npt.NDArray[Any],
    qualities: npt.NDArray[Any],
) -> Values:
    """Features float32 (n, features) of the subjects of n photos.

    faces: number in each photo, (n,); crops: uint8 (n, s, s, 3), RGB; boxes: (n, 4), x1 y1 x2 y2; probabilities, similarities: (n,);
    embeddings: (n, d) of unit length; qualities: (n,), 0 to 100, NaN where there is none.
    """
    values = np.empty((len(crops), len(FEATURES)), np.float32)
    values[:, 0] = faces
    values[:, 1] = -np.log10(np.maximum(1.0 - np.asarray(probabilities, np.float64), 1e-5))
    values[:, 2] = np.log2(np.maximum(np.sqrt(np.maximum((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), 1.0)), 1.0))
    values[:, 3], values[:, 4], values[:, 5] = appearance(crops)
    values[:, SIMILARITY] = similarities
    values[:, QUALITY] = qualities
    values[:, FIRST_PROJECTION:] = embeddings @ directions(embeddings.shape[1])
    return values


def appearance(crops: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Brightness, sharpness and saturation of crops uint8 (n, s, s, 3), (n,) each, from a part of the pixels."""
    rows = crops[:, ::THINNED, :, 1].astype(np.int16)
    columns = crops[:, :, ::THINNED, 1].astype(np.int16)
    across = np.abs(2 * rows[:, :, 1:-1] - rows[:, :, :-2] - rows[:, :, 2:]).mean(axis=(1, 2))
    down = np.abs(2 * columns[:, 1:-1] - columns[:, :-2] - columns[:, 2:]).mean(axis=(1, 2))
    few = crops[:, :: 2 * THINNED, :: 2 * THINNED].astype(np.int16)
    red, green, blue = few[..., 0], few[..., 1], few[..., 2]
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    return few.mean(axis=(1, 2, 3)), np.log2(1 + (across + down) / 2), np.log2(1 + spread.mean(axis=(1, 2)))


@cache
def directions(size: int) -> Values:
    """Random directions float32 (size, PROJECTIONS), the same everywhere, on which random unit vectors have deviation 1.

    numpy guarantees that RandomState's numbers never change.
    """
    drawn = np.random.RandomState(size).standard_normal((size, PROJECTIONS))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=0) * np.sqrt(size), np.float32)


def bins_of(values: Values) -> npt.NDArray[np.int64]:
    """Bins int64 (n, features) of values; -1 for NaN."""
    places = np.clip(np.floor((np.nan_to_num(values, nan=0.0) - LOW) / WIDTH), 0, BINS - 1).astype(np.int64)
    return np.where(np.isnan(values), -1, places)


def without_face() -> npt.NDArray[np.int64]:
    """Bins int64 (features,) of a photo without a face."""
    bins = np.full(len(FEATURES), -1, np.int64)
    bins[0] = 0
    return bins
