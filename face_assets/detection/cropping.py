"""The crop of a face: around its box as the photo shows it, or with the face set upright first."""

import cmath
import math
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[Any]
Pixels = npt.NDArray[np.uint8]

UPRIGHT_WITHIN = 10.0
"""Tilt in degrees up to which a face counts as upright."""
STANDARD_SIDE = 112
STANDARD_FACE = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
"""Eyes, nose and corners of the mouth, x y, in a crop of STANDARD_SIDE (ArcFace, Deng et al. 2019, https://arxiv.org/abs/1801.07698)."""


def box_crop(image: Pixels, box: Floats, size: int, margin: int) -> Pixels:
    """The face in `box` (4,) with the margin: uint8 (size, size, 3), as facenet-pytorch's extract_face cuts it."""
    around = [margin * float(box[2] - box[0]) / (size - margin) / 2, margin * float(box[3] - box[1]) / (size - margin) / 2]
    height, width = image.shape[:2]
    left, top = int(max(box[0] - around[0], 0)), int(max(box[1] - around[1], 0))
    right, bottom = int(min(box[2] + around[0], width)), int(min(box[3] + around[1], height))
    cut = image[top : max(bottom, top + 1), left : max(right, left + 1)]
    return np.asarray(Image.fromarray(cut).resize((size, size), Image.Resampling.BILINEAR))


def upright_crop(image: Pixels, box: Floats, landmarks: Floats, size: int, margin: int) -> Pixels:
    """As `box_crop`, of the photo turned about the box until the face with landmarks (5, 2) is upright, where it is tilted by more
    than UPRIGHT_WITHIN. The photo's edge continues where a turned crop exceeds it."""
    tilt = tilt_of(landmarks)
    if abs(tilt) <= UPRIGHT_WITHIN:
        return box_crop(image, box, size, margin)
    sides = [max(1.0, float(box[at + 2] - box[at]) * size / (size - margin)) for at in (0, 1)]
    angle = math.radians(tilt)
    across = np.array([math.cos(angle), math.sin(angle)]) * sides[0] / size
    down = np.array([-math.sin(angle), math.cos(angle)]) * sides[1] / size
    centre = (np.asarray(box[:2], np.float64) + np.asarray(box[2:], np.float64)) / 2
    return _sampled(image, np.stack([across, down], axis=1), centre, size)


def similarity_crop(image: Pixels, landmarks: Floats, size: int) -> Pixels:
    """The face turned, scaled and moved so that its landmarks (5, 2) come closest to STANDARD_FACE: uint8 (size, size, 3).

    The photo's edge continues beyond it.
    """
    step, points, wanted = _fit(landmarks, size)
    centre = points + step * (complex(size, size) / 2 - wanted)
    matrix = np.array([[step.real, -step.imag], [step.imag, step.real]])
    return _sampled(image, matrix, np.array([centre.real, centre.imag]), size)


def tilt_of(landmarks: Floats) -> float:
    """The angle in the photo's plane by which a face with landmarks (5, 2) is turned clockwise: degrees, -180 to 180.

    Of all five, because the line of the eyes alone is short and steep where a head is seen from its side.
    """
    return math.degrees(cmath.phase(_fit(landmarks, STANDARD_SIDE)[0]))


def _fit(landmarks: Floats, size: int) -> tuple[complex, complex, complex]:
    """The similarity by which STANDARD_FACE comes closest to the landmarks (5, 2): the photo's step for a step in a crop of `size`, and the
    mean points in the photo and in the crop. Least squares without reflection (Umeyama 1991), x + iy as complex numbers."""
    wanted = (np.array(STANDARD_FACE) * size / STANDARD_SIDE) @ (1, 1j)
    points = np.asarray(landmarks, np.float64) @ (1, 1j)
    apart = wanted - wanted.mean()
    step = (np.conj(apart) * (points - points.mean())).sum() / (abs(apart) ** 2).sum()
    return complex(step), complex(points.mean()), complex(wanted.mean())


def _sampled(image: Pixels, matrix: Floats, centre: Floats, size: int) -> Pixels:
    """A square of the photo: uint8 (size, size, 3). matrix: (2, 2), photo pixels by crop pixels; centre: (2,), of the crop, in the photo.

    Only the part of the photo that the crop needs is read; it is reduced first where the photo has many more pixels than the crop.
    """
    reach = np.abs(matrix).sum(axis=1) * size / 2 + 2
    shape = np.array([image.shape[1], image.shape[0]])
    first = np.clip(np.floor(centre - reach).astype(int), 0, shape - 1)
    last = np.clip(np.ceil(centre + reach).astype(int), first + 1, shape)
    part = Image.fromarray(image[first[1] : last[1], first[0] : last[0]])
    factor = max(1, int(np.linalg.norm(matrix, axis=0).min()))
    if factor > 1:
        part = part.reduce(factor)
    matrix, centre = matrix / factor, (centre - first) / factor
    low, high = np.floor(centre - reach / factor).astype(int), np.ceil(centre + reach / factor).astype(int)
    columns, rows = (np.clip(np.arange(low[axis], high[axis] + 1), 0, part.size[axis] - 1) for axis in (0, 1))
    pixels = np.asarray(part)[rows][:, columns]
    offset = centre - low - matrix @ (size / 2, size / 2)
    finer = max(1, math.ceil(np.linalg.norm(matrix, axis=0).max() - 0.01))  # so many samples by pixel, or some of the photo's are skipped
    places = (*matrix[0] / finer, offset[0], *matrix[1] / finer, offset[1])
    square = (size * finer, size * finer)
    return np.asarray(Image.fromarray(pixels).transform(square, Image.Transform.AFFINE, places, Image.Resampling.BICUBIC).reduce(finer))
