"""A single-shot detector in ONNX, by OpenVINO: the photo reduced into a square, the network, and its faces without those that overlap."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from face_assets.core.inference import Opener, on_cpu
from face_assets.detection.detector import DetectorConfig, FaceDetector, Floats, Pixels
from face_assets.detection.detector_families import FAMILIES
from face_assets.detection.faces import Faces
from face_assets.detection.suppression import suppress

FILE = "detector.onnx"
MOST_CANDIDATES = 1000
"""Boxes of a photo that are compared with one another, the most probable ones: a network that finds faces everywhere is bounded."""


class OnnxDetector(FaceDetector):
    """A detector of one of FAMILIES. Not thread-safe: make one for each thread."""

    def __init__(self, networks: Path, config: DetectorConfig, threads: int = 1, opener: Opener | None = None):
        """networks: folder with detector.onnx, which `onnx_models` checks; config: with a family; opener: by default on the CPU."""
        super().__init__(config)
        assert config.family, "MTCNN is no network in ONNX"
        self._family = FAMILIES[config.family]
        self._network = (opener or on_cpu(threads))(networks / FILE, (1, 3, config.input_size, config.input_size))

    def outputs(self, square: Pixels) -> list[Floats]:
        """The network's outputs, float32, for a square photo, uint8 (input_size, input_size, 3), RGB."""
        return [np.array(output, np.float32) for output in self._network(self._family.input_of(square))]

    def reduce(self, image: Pixels) -> Pixels:
        """The photo with the longer side of the network's input, larger or smaller."""
        height, width = image.shape[:2]
        scale = self.config.input_size / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))

    def search(self, images: Sequence[Pixels], shapes: Sequence[tuple[int, int]]) -> list[Faces]:
        """The faces of reduced photos, in pixels of the photos, whose heights and widths are `shapes`; the subject's first."""
        return [self._search(image, *shape) for image, shape in zip(images, shapes, strict=True)]

    def _search(self, image: Pixels, height: int, width: int) -> Faces:
        side = self.config.input_size
        square = np.zeros((side, side, 3), np.uint8)  # the photo in the upper left corner, as insightface puts it
        square[: image.shape[0], : image.shape[1]] = image
        boxes, probabilities, points = self._family.decode(self.outputs(square), side)
        candidates = np.flatnonzero(probabilities >= self.config.min_probability)
        candidates = candidates[np.argsort(-probabilities[candidates], kind="stable")[:MOST_CANDIDATES]]
        boxes = np.concatenate([boxes[candidates], probabilities[candidates, None]], axis=1).astype(np.float32)
        points = points[candidates].astype(np.float32)
        scale = np.float32(max(height, width) / side)
        boxes[:, :4] *= scale
        points *= scale
        usable = _usable(boxes, points, height, width)
        boxes, points = boxes[usable], points[usable]
        kept = suppress(boxes, np.zeros(len(boxes), np.int64), self.config.max_overlap)
        boxes, points = boxes[kept], points[kept]
        order = self.order(boxes, height, width)
        return Faces(boxes[order, :4], boxes[order, 4], points[order])


def _usable(boxes: Floats, points: Floats, height: int, width: int) -> Floats:
    """A mask of the boxes (n, 5) that can be cut: of finite numbers, a pixel large at least, their centres in the photo."""
    finite: Floats = np.asarray(np.isfinite(boxes).all(axis=1) & np.isfinite(points).all(axis=(1, 2)))
    first, last = (np.where(finite[:, None], boxes[:, at : at + 2], -1) for at in (0, 2))
    sides, centres = last - first, (first + last) / 2
    inside = (centres >= 0).all(axis=1) & (centres < (width, height)).all(axis=1)
    return np.asarray(finite & inside & (sides >= 1).all(axis=1) & (sides <= 4 * max(height, width)).all(axis=1))
