"""Families of single-shot face detectors in ONNX: the input that each takes, and boxes, probabilities and five points of its outputs.

Each looks for faces in the cells of three grids, of STRIDES pixels a cell, in a square photo:

- scrfd (Guo et al. 2021, https://arxiv.org/abs/2105.04714), as insightface exports it: for each grid a probability, the distances of the
  sides of a box from the cell's corner, and five points from there, in strides.
- yunet (Wu et al. 2023, https://doi.org/10.1007/s11633-023-1423-y), as OpenCV runs it: for each grid the probabilities of a face and of an
  object, whose geometric mean counts, a box as centre and logarithm of its sides, and five points, in strides.
- retinaface (Deng et al. 2020, https://arxiv.org/abs/1905.00641), as biubug6/Pytorch_Retinaface exports it: for all grids together boxes,
  probabilities and five points relative to two prior boxes a cell.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[Any]
Found = tuple[Floats, Floats, Floats]
"""Boxes (n, 4), x1 y1 x2 y2, probabilities (n,) and points (n, 5, 2), x y, in pixels of the square, of all cells: most are no faces."""

STRIDES = (8, 16, 32)
PRIOR_SIDES = ((16, 32), (64, 128), (256, 512))
CENTRE_VARIANCE, SIZE_VARIANCE = 0.1, 0.2
LARGEST_EXPONENT = 20.0  # of a side: beyond, it is no face and would overflow


class WrongOutputsError(ValueError):
    """Outputs that are not those of the family; the message is the end of a sentence about the network."""


@dataclass(frozen=True)
class Family:
    """A family. channels: order of the channels of its input; mean, divisor: of its normalization; decode: from its outputs, in any order,
    and the side of the square. It raises WrongOutputsError."""

    channels: str
    mean: tuple[float, float, float]
    divisor: float
    decode: Callable[[Sequence[Floats], int], Found]

    def input_of(self, square: npt.NDArray[np.uint8]) -> Floats:
        """The input, float32 (1, 3, s, s), of a square photo, uint8 (s, s, 3), RGB."""
        pixels = square if self.channels == "rgb" else square[..., ::-1]
        normalized = (pixels.astype(np.float32) - np.array(self.mean, np.float32)) / np.float32(self.divisor)
        return np.ascontiguousarray(normalized.transpose(2, 0, 1)[None])


def _scrfd(outputs: Sequence[Floats], side: int) -> Found:
    grids = _by_grid(outputs, side, {1: 1, 4: 1, 10: 1})
    boxes, probabilities, points = [], [], []
    for stride, ((probability,), (distances,), (offsets,)) in zip(STRIDES, grids, strict=True):
        cells = (side // stride) ** 2
        centres = np.repeat(_cells(side, stride), len(probability) // cells, axis=0) * np.float32(stride)
        distances = distances * np.float32(stride)
        boxes.append(np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], axis=1))
        probabilities.append(probability.ravel())
        points.append(centres[:, None] + offsets.reshape(-1, 5, 2) * np.float32(stride))
    return np.concatenate(boxes), np.concatenate(probabilities), np.concatenate(points)


def _yunet(outputs: Sequence[Floats], side: int) -> Found:
    grids = _by_grid(outputs, side, {1: 2, 4: 1, 10: 1})
    boxes, probabilities, points = [], [], []
    for stride, ((face, thing), (box,), (offsets,)) in zip(STRIDES, grids, strict=True):
        cells = np.repeat(_cells(side, stride), len(face) // (side // stride) ** 2, axis=0)
        probabilities.append(np.sqrt(np.clip(face, 0, 1) * np.clip(thing, 0, 1)).ravel())
        boxes.append(_around((cells + box[:, :2]) * np.float32(stride), _exp(box[:, 2:]) * np.float32(stride)))
        points.append((cells[:, None] + offsets.reshape(-1, 5, 2)) * np.float32(stride))
    return np.concatenate(boxes), np.concatenate(probabilities), np.concatenate(points)


def _retinaface(outputs: Sequence[Floats], side: int) -> Found:
    rows = sum(len(sides) * (side // stride) ** 2 for sides, stride in zip(PRIOR_SIDES, STRIDES, strict=True))
    flat = [output.reshape(-1, output.shape[-1]) for output in outputs if output.ndim]
    by_width = {output.shape[1]: output for output in flat if len(output) == rows}
    if len(outputs) != 3 or set(by_width) != {2, 4, 10}:
        raise WrongOutputsError(_unlike(outputs, f"boxes ({rows}, 4), probabilities ({rows}, 2) and five points ({rows}, 10)"))
    priors = []
    for sides, stride in zip(PRIOR_SIDES, STRIDES, strict=True):
        centres = (_cells(side, stride) + np.float32(0.5)) * np.float32(stride)
        both = np.tile(np.repeat(np.array(sides, np.float32)[:, None], 2, axis=1), (len(centres), 1))
        priors.append(np.concatenate([np.repeat(centres, len(sides), axis=0), both], axis=1))
    prior = np.concatenate(priors)
    centres = prior[:, :2] + by_width[4][:, :2] * np.float32(CENTRE_VARIANCE) * prior[:, 2:]
    boxes = _around(centres, prior[:, 2:] * _exp(by_width[4][:, 2:] * np.float32(SIZE_VARIANCE)))
    offsets = by_width[10].reshape(-1, 5, 2) * np.float32(CENTRE_VARIANCE)
    return boxes, by_width[2][:, 1], prior[:, None, :2] + offsets * prior[:, None, 2:]


FAMILIES = {
    "scrfd": Family("rgb", (127.5, 127.5, 127.5), 128.0, _scrfd),
    "yunet": Family("bgr", (0.0, 0.0, 0.0), 1.0, _yunet),
    "retinaface": Family("bgr", (104.0, 117.0, 123.0), 1.0, _retinaface),
}


def _by_grid(outputs: Sequence[Floats], side: int, wanted: dict[int, int]) -> list[list[list[Floats]]]:
    """The outputs of each grid, finest first: for each width of `wanted`, in its order, so many arrays (cells × anchors, width)."""
    flat = [output.reshape(-1, output.shape[-1]) for output in outputs if output.ndim]
    cells = [(side // stride) ** 2 for stride in STRIDES]
    anchors = max((len(output) for output in flat), default=0) // cells[0]
    grids = [[[one for one in flat if one.shape == (anchors * count, width)] for width in wanted] for count in cells]
    if len(outputs) != len(STRIDES) * sum(wanted.values()) or any(
        len(found) != count for grid in grids for found, count in zip(grid, wanted.values(), strict=True)
    ):
        kinds = " and ".join(f"{count} of {width} values a cell" for width, count in wanted.items())
        text = f"for each of the grids of {', '.join(map(str, cells))} cells {kinds}"
        raise WrongOutputsError(_unlike(outputs, text))
    return grids


def _unlike(outputs: Sequence[Floats], wanted: str) -> str:
    shapes = [f"({', '.join(map(str, output.shape))})" for output in outputs[:12]]
    points = any(output.ndim and output.shape[-1] == 10 for output in outputs)
    absent = "" if points else " None of them holds five points (10 values a row), by which faces are aligned."
    return f"has {len(outputs)} outputs of the shapes {', '.join(shapes)}, and the family has {wanted}.{absent}"


def _cells(side: int, stride: int) -> Floats:
    """Column and row of each cell of a grid, float32 (n, 2), row by row."""
    count = side // stride
    rows, columns = np.mgrid[:count, :count]
    return np.stack([columns, rows], axis=-1).reshape(-1, 2).astype(np.float32)


def _around(centres: Floats, sides: Floats) -> Floats:
    return np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)


def _exp(logarithms: Floats) -> Floats:
    return np.exp(np.minimum(logarithms, np.float32(LARGEST_EXPONENT)))
