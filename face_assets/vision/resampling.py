"""Area resampling as torch's interpolate(mode="area") does it, of many windows at once, read off integral images.

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

# Three colours of a window lie beside one another in 64 bits: differences of such sums are right for as long as each fits its 21.
BITS = 21
FIELD = (1 << BITS) - 1
LARGEST_WINDOW = FIELD // 255
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
        """images: uint8 (h, w, 3), all of one size; largest_window: pixels in the largest window that will be asked for."""
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
        top, bottom = _windows(np.zeros(1, np.int64), np.full(1, self.height), rows)
        left, right = _windows(np.zeros(1, np.int64), np.full(1, self.width), columns)
        tables = self.tables[photos]
        bands = tables.take(bottom[0], axis=2)
        bands -= tables.take(top[0], axis=2)
        sums = bands.take(right[0], axis=3)
        sums -= bands.take(left[0], axis=3)
        return _normalised(sums, (bottom - top)[0, :, None] * (right - left)[0])

    def cut(self, photos: Ints, boxes: Ints, side: int) -> Floats:
        """Parts of the photos, normalised: float32 (n, 3, side, side). photos: (n,), which photo each is of; boxes: (n, 4), x1 y1 x2 y2,
        whole pixels, within the photo, the last excluded."""
        left, right = _windows(boxes[:, 0], boxes[:, 2] - boxes[:, 0], side)
        top, bottom = _windows(boxes[:, 1], boxes[:, 3] - boxes[:, 1], side)
        colours, stride = self.tables.shape[1], self.width + 1
        size = (self.height + 1) * stride
        flat = self.tables.reshape(-1)
        sums = np.empty((len(boxes), colours, side, side), np.int64)
        area = (bottom - top)[:, :, None] * (right - left)[:, None]
        for colour in range(colours):
            start = ((photos * colours + colour) * size)[:, None]
            above, below = (start + top * stride)[:, :, None], (start + bottom * stride)[:, :, None]
            left_, right_ = left[:, None], right[:, None]
            found = flat.take(below + right_)
            found -= flat.take(above + right_)
            found -= flat.take(below + left_)
            found += flat.take(above + left_)
            sums[:, colour] = found
        return _normalised(sums, area)


def _windows(first: Ints, length: Ints, count: int) -> tuple[Ints, Ints]:
    """Where each of `count` windows of torch's area resampling begins and ends: (n, count) each, of first and length (n,)."""
    steps = np.arange(count + 1)
    edges = steps * length[:, None]
    return first[:, None] + edges[:, :-1] // count, first[:, None] - (-edges[:, 1:] // count)


def _normalised(sums: Ints, area: Ints) -> Floats:
    """Means of (n, colours, rows, columns) sums over windows of `area` pixels, (rows, columns) or (n, rows, columns)."""
    pixels = np.empty((len(sums), 3, *sums.shape[2:]), np.float32)
    if sums.shape[1] == 3:
        pixels[:] = sums
    else:
        pixels[:, 0] = sums[:, 0] & FIELD
        pixels[:, 1] = (sums[:, 0] >> BITS) & FIELD
        pixels[:, 2] = sums[:, 0] >> 2 * BITS
    pixels *= (SCALE / area.astype(np.float32))[..., None, :, :]
    pixels -= MIDDLE
    return pixels
