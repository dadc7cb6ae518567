"""Area resampling as of torch's interpolate(mode="area"), of many windows at once, from integral images.

A mean over whole pixels is a sum of integers by their number. Integers add exactly, so one table of sums serves every scale of the pyramid
and every candidate, at a cost that depends on what is read from it and not on how large the windows are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[Any]
Ints = npt.NDArray[Any]
Pixels = npt.NDArray[np.uint8]

# Three colours of a window are packed into 64 bits: differences of such sums are right as long as each fits its 21 bits.
BITS = 21
FIELD = (1 << BITS) - 1
LARGEST_WINDOW = FIELD // 255
PIXELS_AT_ONCE = 36_864  # 300 KB of sums, and as much of places, within a core's cache
MIDDLE, SCALE = np.float32(127.5 * 0.0078125), np.float32(0.0078125)  # of the values that the networks were trained with


@dataclass(frozen=True)
class Sums:
    """The integral images of photos of one size.

    tables: int64 (photos, colours, h + 1, w + 1), sums of all pixels above and left; one "colour" holds all three where windows are small.
    """

    tables: Ints
    height: int
    width: int

    @staticmethod
    def of(images: Sequence[Pixels], largest_window: int) -> "Sums":
        """The sums of images, uint8 (h, w, 3), all of one size; largest_window: pixels in the largest window that will be read."""
        height, width = images[0].shape[:2]
        packed = largest_window <= LARGEST_WINDOW
        tables = np.zeros((len(images), 1 if packed else 3, height + 1, width + 1), np.int64)
        for table, image in zip(tables[:, :, 1:, 1:], images, strict=True):
            if packed:
                np.left_shift(image[..., 2], 2 * BITS, out=table[0], dtype=np.int64)
                table[0] |= np.left_shift(image[..., 1], BITS, dtype=np.int64)
                table[0] |= image[..., 0]
            else:
                table[:] = image.transpose(2, 0, 1)
            np.cumsum(table, axis=1, out=table)
            np.cumsum(table, axis=2, out=table)
        return Sums(tables, height, width)

    def resized(self, photos: slice, rows: int, columns: int) -> Floats:
        """Some photos at another size, normalised: float32 (photos, 3, rows, columns)."""
        top, bottom = (edges[0] for edges in _windows(np.zeros(1, np.int64), np.full(1, self.height), rows))
        left, right = (edges[0] for edges in _windows(np.zeros(1, np.int64), np.full(1, self.width), columns))
        scale = SCALE / ((bottom - top)[:, None] * (right - left)).astype(np.float32)
        tables = self.tables[photos]
        pixels = np.empty((len(tables), 3, rows, columns), np.float32)
        for table, out in zip(tables, pixels, strict=True):  # one photo at a time stays in the caches
            bands = table.take(bottom, axis=1)
            bands -= table.take(top, axis=1)
            sums = bands.take(right, axis=2)
            sums -= bands.take(left, axis=2)
            _normalise(sums, scale, out)
        return pixels

    def cut(self, photos: Ints, boxes: Ints, side: int) -> Floats:
        """Parts of the photos, normalised: float32 (n, 3, side, side). photos: (n,), the index of each; boxes: (n, 4), x1 y1 x2 y2,
        whole pixels, within the photo, the last excluded."""
        left, right = _windows(boxes[:, 0], boxes[:, 2] - boxes[:, 0], side)
        top, bottom = _windows(boxes[:, 1], boxes[:, 3] - boxes[:, 1], side)
        scale = SCALE / ((bottom - top)[:, :, None] * (right - left)[:, None]).astype(np.float32)
        colours, stride = self.tables.shape[1], self.width + 1
        size = (self.height + 1) * stride
        flat = self.tables.reshape(-1)
        pixels = np.empty((len(boxes), 3, side, side), np.float32)
        at_once = max(1, PIXELS_AT_ONCE // (side * side))
        for first in range(0, len(boxes), at_once):
            some = slice(first, first + at_once)
            start = ((photos[some, None] * colours + np.arange(colours)) * size)[:, :, None, None]
            above, below = start + (top[some] * stride)[:, None, :, None], start + (bottom[some] * stride)[:, None, :, None]
            before, behind = left[some, None, None], right[some, None, None]
            sums = flat.take(below + behind)
            sums -= flat.take(above + behind)
            sums -= flat.take(below + before)
            sums += flat.take(above + before)
            _normalise(sums.swapaxes(0, 1), scale[some], pixels[some].swapaxes(0, 1))
        return pixels


def _windows(first: Ints, length: Ints, count: int) -> tuple[Ints, Ints]:
    """Begin and end of each of `count` windows of torch's area resampling: (n, count) each, for first and length (n,)."""
    edges = np.arange(count + 1) * length[:, None]
    return first[:, None] + edges[:, :-1] // count, first[:, None] - (-edges[:, 1:] // count)


def _normalise(sums: Ints, scale: Floats, out: Floats) -> None:
    """Writes the normalised means, (3, …), of sums, (colours, …); scale: (…), that of the networks by the pixels of each window."""
    if len(sums) == 3:
        out[:] = sums
    else:
        out[0] = sums[0] & FIELD
        out[1] = (sums[0] >> BITS) & FIELD
        out[2] = sums[0] >> 2 * BITS
    out *= scale
    out -= MIDDLE
