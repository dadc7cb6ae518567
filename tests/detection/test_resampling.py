"""Resampling against torch's "area", in whole photos and in parts of them."""

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from face_assets.detection import resampling
from face_assets.detection.resampling import Sums


def area(image: np.ndarray, rows: int, columns: int) -> np.ndarray:
    pixels = torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32))
    return ((interpolate(pixels, (rows, columns), mode="area") - 127.5) * 0.0078125).numpy()[0]


@pytest.mark.parametrize("largest", [resampling.LARGEST_WINDOW, resampling.LARGEST_WINDOW + 1])
def test_it_is_the_mean_of_whole_pixels(largest: int) -> None:
    """Colours packed in one table, and one table a colour, where windows may be too large for that."""
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (97, 131, 3)).astype(np.uint8), np.full((97, 131, 3), 255, np.uint8)]
    sums = Sums.of(images, largest)
    for size in ((97, 131), (59, 79), (12, 15), (2, 2), (120, 140)):
        found = sums.resized(slice(None), *size)
        assert np.abs(found - np.stack([area(image, *size) for image in images])).max() < 1e-6
    photos = np.array([0, 1, 0, 0, 1])
    boxes = np.array([[0, 0, 131, 97], [3, 5, 4, 6], [130, 96, 131, 97], [20, 30, 33, 95], [7, 0, 60, 97]])
    found = sums.cut(photos, boxes, 24)
    for photo, (left, top, right, bottom), part in zip(photos, boxes, found, strict=True):
        assert np.abs(part - area(images[photo][top:bottom, left:right], 24, 24)).max() < 1e-6
