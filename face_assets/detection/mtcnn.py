"""MTCNN (Zhang et al. 2016, https://arxiv.org/abs/1604.02878) in OpenVINO and numpy, with facenet-pytorch's boxes.

The three networks are facenet-pytorch's own; the glue follows its `detect_face` step by step, quirks included, for many photos at once:
photos of one size share the pyramid's inferences, and all of them those of the candidates.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from face_assets.core.inference import Opener, Run, on_cpu
from face_assets.detection.detector import DetectorConfig, FaceDetector, Floats, Ints, Pixels
from face_assets.detection.faces import Faces
from face_assets.detection.resampling import Sums
from face_assets.detection.suppression import suppress

STRIDE, CELL = 2, 12
PNET_NMS, IMAGE_NMS, MIN_NMS = 0.5, 0.7, 0.7
PIXELS_AT_ONCE = 200_000  # of P-Net's input: its layers then stay within some 30 MB
CANDIDATES_AT_ONCE = 64  # larger batches fall out of the caches


class Detector(FaceDetector):
    """MTCNN. Not thread-safe: make one for each thread."""

    def __init__(self, networks: Path, config: DetectorConfig, threads: int = 1, opener: Opener | None = None):
        """networks: folder with pnet, rnet and onet as .xml and .bin; opener: of a file's network, by default on the CPU."""
        super().__init__(config)
        opened = opener or on_cpu(threads)
        self._pnet, self._rnet, self._onet = (opened(networks / f"{name}.xml", None) for name in ("pnet", "rnet", "onet"))

    def reduce(self, image: Pixels) -> Pixels:
        """The photo as it is searched: its longer side at most `max_side`."""
        height, width = image.shape[:2]
        longer = max(height, width)
        if longer <= self.config.max_side:
            return image
        size = (max(1, round(width * self.config.max_side / longer)), max(1, round(height * self.config.max_side / longer)))
        return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX, reducing_gap=2.0))

    def search(self, images: Sequence[Pixels], shapes: Sequence[tuple[int, int]]) -> list[Faces]:
        """The faces of reduced photos, in pixels of the photos, whose heights and widths are `shapes`."""
        by_size: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for number, image in enumerate(images):
            by_size[image.shape].append(number)
        found = [Faces.none()] * len(images)
        for numbers in by_size.values():
            boxes, points, photos = self._find([images[number] for number in numbers])
            for place, number in enumerate(numbers):
                mine = photos == place
                found[number] = self._faces(boxes[mine], points[mine], shapes[number], images[number].shape)
        return found

    def _faces(self, boxes: Floats, points: Floats, shape: tuple[int, ...], reduced: tuple[int, ...]) -> Faces:
        """The faces in the photo's own pixels, the subject's first."""
        scale = np.float32(max(shape[:2]) / max(reduced[:2]))
        if scale != 1:
            boxes[:, :4] *= scale
            points *= scale
        order = self.order(boxes, *shape[:2])
        return Faces(boxes[order, :4], boxes[order, 4], points[order])

    def _find(self, images: list[Pixels]) -> tuple[Floats, Floats, Ints]:
        """The faces in photos of one size: boxes with probability, float32 (n, 5), landmarks, float32 (n, 5, 2), photo index, (n,)."""
        height, width = images[0].shape[:2]
        scales = self._scales(min(height, width))
        sums = Sums.of(images, _largest_window(height, width, scales))
        boxes, photos = self._propose(sums, scales)
        boxes, photos, regression, _ = self._refine(self._rnet, sums, boxes, photos, 24, self.config.thresholds[1])
        keep = suppress(boxes, photos, IMAGE_NMS)
        boxes, photos = _square(_regress(boxes[keep], regression[keep])), photos[keep]
        boxes, photos, regression, points = self._refine(self._onet, sums, boxes, photos, 48, self.config.thresholds[2])
        side = boxes[:, 2:4] - boxes[:, :2] + 1
        landmarks = np.stack([points[:, :5], points[:, 5:]], axis=2) * side[:, None] + boxes[:, None, :2] - 1
        boxes = _regress(boxes, regression)
        keep = suppress(boxes, photos, MIN_NMS, of_smaller=True)
        return boxes[keep], landmarks[keep], photos[keep]

    def _scales(self, shorter: float) -> list[float]:
        """The scales of the pyramid, down to a photo as large as P-Net's cell."""
        scale = 12.0 / self.config.min_face_size
        shorter *= scale
        scales = []
        while shorter >= CELL:
            scales.append(scale)
            scale *= self.config.factor
            shorter *= self.config.factor
        return scales

    def _propose(self, sums: Sums, scales: list[float]) -> tuple[Floats, Ints]:
        """The candidates of P-Net over the scale pyramid: squares, float32 (n, 5), and index of the photo, (n,)."""
        found, photos, levels = [np.empty((0, 9), np.float32)], [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for level, scale in enumerate(scales):
            rows, columns = _size(sums.height, scale), _size(sums.width, scale)
            at_once = max(1, PIXELS_AT_ONCE // (rows * columns))
            for start in range(0, len(sums.tables), at_once):
                regression, probability = self._pnet(sums.resized(slice(start, start + at_once), rows, columns))
                candidates, whose = _boxes_of_cells(regression, probability[:, 1], scale, self.config.thresholds[0])
                found.append(candidates)
                photos.append(whose + start)
                levels.append(np.full(len(whose), level))
        boxes, photo, level_of = np.concatenate(found), np.concatenate(photos), np.concatenate(levels)
        keep = suppress(boxes, photo * max(1, len(scales)) + level_of, PNET_NMS)
        boxes, photo = boxes[keep], photo[keep]
        keep = suppress(boxes, photo, IMAGE_NMS)
        boxes, photo = boxes[keep], photo[keep]
        side = boxes[:, 2:4] - boxes[:, :2]
        corners = boxes[:, :4] + boxes[:, 5:9] * np.concatenate([side, side], axis=1)
        return _square(np.concatenate([corners, boxes[:, 4:5]], axis=1)), photo

    def _refine(
        self, network: Run, sums: Sums, boxes: Floats, photos: Ints, side: int, threshold: float
    ) -> tuple[Floats, Ints, Floats, Floats]:
        """The boxes that pass R-Net or O-Net, with their new probability, index of the photo, regression and (O-Net) landmarks."""
        edges = np.trunc(boxes[:, :4]).astype(np.int64)
        edges[:, :2] = np.maximum(edges[:, :2], 1) - 1
        edges[:, 2:] = np.minimum(edges[:, 2:], (sums.width, sums.height))
        inside = (edges[:, 2] > edges[:, 0]) & (edges[:, 3] > edges[:, 1])
        boxes, photos, edges = boxes[inside], photos[inside], edges[inside]
        if not len(boxes):
            return np.empty((0, 5), np.float32), photos, np.empty((0, 4), np.float32), np.empty((0, 10), np.float32)
        parts = []
        for start in range(0, len(boxes), CANDIDATES_AT_ONCE):
            some = slice(start, start + CANDIDATES_AT_ONCE)
            parts.append([output.copy() for output in network(sums.cut(photos[some], edges[some], side))])
        regression, *landmarks, probability = (np.concatenate(outputs) for outputs in zip(*parts, strict=True))
        passed = probability[:, 1] > threshold
        kept = np.concatenate([boxes[passed, :4], probability[passed, 1:2]], axis=1)
        points = landmarks[0][passed] if landmarks else np.empty((len(kept), 10), np.float32)
        return kept, photos[passed], regression[passed], points


def _size(length: int, scale: float) -> int:
    """The length of a side at a scale of the pyramid."""
    return int(length * scale + 1)


def _largest_window(height: int, width: int, scales: list[float]) -> int:
    """Pixels in the largest window of the pyramid, and of a candidate as large as the photo."""
    rows, columns = (min([24, *(_size(length, scale) for scale in scales)]) for length in (height, width))
    return (height // rows + 2) * (width // columns + 2)


def _boxes_of_cells(regression: Floats, probability: Floats, scale: float, threshold: float) -> tuple[Floats, Ints]:
    """P-Net's cells at or above the threshold as boxes, float32 (n, 9): corners, probability, regression; and index of the photo, (n,)."""
    photos, rows, columns = np.nonzero(probability >= np.float32(threshold))
    cells = np.stack([columns, rows], axis=1).astype(np.float32)
    first = np.floor((STRIDE * cells + 1) / np.float32(scale))
    last = np.floor((STRIDE * cells + CELL) / np.float32(scale))
    found = regression[photos, :, rows, columns]
    return np.concatenate([first, last, probability[photos, rows, columns, None], found], axis=1).astype(np.float32), photos


def _regress(boxes: Floats, regression: Floats) -> Floats:
    side = boxes[:, 2:4] - boxes[:, :2] + 1
    corners = boxes[:, :4] + regression * np.concatenate([side, side], axis=1)
    return np.concatenate([corners, boxes[:, 4:5]], axis=1)


def _square(boxes: Floats) -> Floats:
    """The squares around the boxes' centres, as large as the longer side."""
    side = boxes[:, 2:4] - boxes[:, :2]
    longest = side.max(axis=1, keepdims=True, initial=0)
    first = boxes[:, :2] + side * np.float32(0.5) - longest * np.float32(0.5)
    return np.concatenate([first, first + longest, boxes[:, 4:5]], axis=1)
