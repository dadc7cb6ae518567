"""MTCNN (Zhang et al. 2016, https://arxiv.org/abs/1604.02878) in OpenVINO and numpy, with facenet-pytorch's boxes.

The three networks are facenet-pytorch's own; the glue follows its `detect_face` step by step, quirks included. Every resampling, of the
scale pyramid and of all candidates at once, is read off one integral image, which makes it exact and cheap.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[Any]
Ints = npt.NDArray[Any]
Pixels = npt.NDArray[np.uint8]

STRIDE, CELL = 2, 12
PNET_NMS, IMAGE_NMS, MIN_NMS = 0.5, 0.7, 0.7
CANDIDATES_A_BATCH = 512


@dataclass(frozen=True)
class DetectorConfig:
    """What decides the boxes and the crops; see params.Detector for meanings and bounds."""

    image_size: int = 160
    margin: int = 32
    min_face_size: int = 20
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)
    factor: float = 0.709
    max_side: int = 1024
    choose: Literal["largest", "most_probable", "most_central"] = "largest"


@dataclass(frozen=True)
class Faces:
    """The faces of a photo, the subject's first. boxes: float32 (n, 4), x1 y1 x2 y2 in photo pixels; probabilities: float32 (n,);
    landmarks: float32 (n, 5, 2), eyes, nose, corners of the mouth, x y in photo pixels."""

    boxes: Floats
    probabilities: Floats
    landmarks: Floats


class Detector:
    """Finds faces and cuts crops. Not for several threads at once: make one for each."""

    def __init__(self, networks: Path, config: DetectorConfig, threads: int = 1):
        """networks: folder with pnet, rnet and onet as .xml and .bin."""
        import openvino as ov

        self.config = config
        core = ov.Core()
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
        self._pnet, self._rnet, self._onet = (
            core.compile_model(networks / f"{name}.xml", "CPU", settings).create_infer_request() for name in ("pnet", "rnet", "onet")
        )

    def detect(self, image: Pixels) -> Faces:
        """The faces of an RGB photo, uint8 (h, w, 3), the subject's first; none is no error."""
        height, width = image.shape[:2]
        reduced = self._reduce(image)
        scale = np.float32(max(height, width) / max(reduced.shape[:2]))
        boxes, points = self._find(reduced)
        if scale != 1:
            boxes[:, :4] *= scale
            points *= scale
        order = self._order(boxes, height, width)
        return Faces(boxes[order, :4], boxes[order, 4], points[order])

    def crop(self, image: Pixels, box: Floats) -> Pixels:
        """The face in `box` with the margin: uint8 (image_size, image_size, 3), as facenet-pytorch's extract_face cuts it."""
        size, margin = self.config.image_size, self.config.margin
        around = [margin * float(box[2] - box[0]) / (size - margin) / 2, margin * float(box[3] - box[1]) / (size - margin) / 2]
        height, width = image.shape[:2]
        left, top = int(max(box[0] - around[0], 0)), int(max(box[1] - around[1], 0))
        right, bottom = int(min(box[2] + around[0], width)), int(min(box[3] + around[1], height))
        cut = image[top : max(bottom, top + 1), left : max(right, left + 1)]
        return np.asarray(Image.fromarray(cut).resize((size, size), Image.Resampling.BILINEAR))

    def _reduce(self, image: Pixels) -> Pixels:
        height, width = image.shape[:2]
        longer = max(height, width)
        if longer <= self.config.max_side:
            return image
        size = (max(1, round(width * self.config.max_side / longer)), max(1, round(height * self.config.max_side / longer)))
        return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX, reducing_gap=2.0))

    def _order(self, boxes: Floats, height: int, width: int) -> Ints:
        if self.config.choose == "most_probable":
            return np.argsort(boxes[:, 4])[::-1]
        if self.config.choose == "most_central":
            x = (boxes[:, 0] + boxes[:, 2] - width) / 2
            y = (boxes[:, 1] + boxes[:, 3] - height) / 2
            return np.argsort(x * x + y * y)
        return np.argsort((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))[::-1]

    def _find(self, image: Pixels) -> tuple[Floats, Floats]:
        """Boxes with probability, float32 (n, 5), and landmarks, float32 (n, 5, 2)."""
        integral = _integral(image)
        height, width = image.shape[:2]
        boxes = self._propose(integral, height, width)
        boxes, regression, _ = self._refine(self._rnet, integral, boxes, 24, self.config.thresholds[1])
        keep = _nms(boxes, IMAGE_NMS)
        boxes = _square(_regress(boxes[keep], regression[keep]))
        boxes, regression, points = self._refine(self._onet, integral, boxes, 48, self.config.thresholds[2])
        side = boxes[:, 2:4] - boxes[:, :2] + 1
        landmarks = np.stack([points[:, :5], points[:, 5:]], axis=2) * side[:, None] + boxes[:, None, :2] - 1
        boxes = _regress(boxes, regression)
        keep = _nms(boxes, MIN_NMS, of_smaller=True)
        return boxes[keep], landmarks[keep].astype(np.float32)

    def _propose(self, integral: npt.NDArray[Any], height: int, width: int) -> Floats:
        """P-Net over the scale pyramid: squares float32 (n, 5)."""
        found = [np.empty((0, 9), np.float32)]
        scale = 12.0 / self.config.min_face_size
        shorter = min(height, width) * scale
        while shorter >= CELL:
            size = (int(height * scale + 1), int(width * scale + 1))
            rows, columns = _windows(0, height, size[0]), _windows(0, width, size[1])
            pixels = _average(integral, rows, columns).transpose(2, 0, 1)[None]
            regression, probability = _infer(self._pnet, np.ascontiguousarray(pixels))
            candidates = _boxes_of_cells(regression[0], probability[0, 1], scale, self.config.thresholds[0])
            found.append(candidates[_nms(candidates, PNET_NMS)])
            scale *= self.config.factor
            shorter *= self.config.factor
        boxes = np.concatenate(found)
        boxes = boxes[_nms(boxes, IMAGE_NMS)]
        side = boxes[:, 2:4] - boxes[:, :2]
        corners = boxes[:, :4] + boxes[:, 5:9] * np.concatenate([side, side], axis=1)
        return _square(np.concatenate([corners, boxes[:, 4:5]], axis=1))

    def _refine(
        self, network: Any, integral: npt.NDArray[Any], boxes: Floats, side: int, threshold: float
    ) -> tuple[Floats, Floats, Floats]:
        """R-Net or O-Net on the boxes: those that pass with their new probability, their regression, and (O-Net) their landmarks."""
        height, width = integral.shape[0] - 1, integral.shape[1] - 1
        edges = np.trunc(boxes[:, :4]).astype(np.int64)
        left, top = np.maximum(edges[:, 0], 1) - 1, np.maximum(edges[:, 1], 1) - 1
        right, bottom = np.minimum(edges[:, 2], width), np.minimum(edges[:, 3], height)
        inside = (right > left) & (bottom > top)
        boxes, left, top, right, bottom = boxes[inside], left[inside], top[inside], right[inside], bottom[inside]
        outputs = []
        for start in range(0, len(boxes), CANDIDATES_A_BATCH):
            part = slice(start, start + CANDIDATES_A_BATCH)
            rows = _windows(top[part, None], bottom[part, None] - top[part, None], side)
            columns = _windows(left[part, None], right[part, None] - left[part, None], side)
            pixels = _average(integral, rows, columns).transpose(0, 3, 1, 2)
            outputs.append(_infer(network, np.ascontiguousarray(pixels)))
        if not outputs:
            return np.empty((0, 5), np.float32), np.empty((0, 4), np.float32), np.empty((0, 10), np.float32)
        regression, *landmarks, probability = (np.concatenate(parts) for parts in zip(*outputs, strict=True))
        passed = probability[:, 1] > threshold
        kept = np.concatenate([boxes[passed, :4], probability[passed, 1:2]], axis=1)
        points = landmarks[0][passed] if landmarks else np.empty((len(kept), 10), np.float32)
        return kept, regression[passed], points


def _infer(network: Any, pixels: Floats) -> list[Floats]:
    network.infer({0: pixels}, share_inputs=True)
    return [np.array(tensor.data) for tensor in network.output_tensors]


def _integral(image: Pixels) -> npt.NDArray[Any]:
    """Sums of all pixels above and left: integers (h + 1, w + 1, 3)."""
    height, width = image.shape[:2]
    kind = np.int32 if height * width * 255 < 2**31 else np.int64
    sums = np.zeros((height + 1, width + 1, 3), kind)
    np.cumsum(image, axis=0, dtype=kind, out=sums[1:, 1:])
    np.cumsum(sums[1:, 1:], axis=1, out=sums[1:, 1:])
    return sums


def _windows(first: Any, length: Any, count: int) -> tuple[Ints, Ints]:
    """Where each of `count` windows of torch's area resampling begins and ends: (..., count) each."""
    steps = np.arange(count)
    return first + steps * length // count, first - (-(steps + 1) * length // count)


def _average(integral: npt.NDArray[Any], rows: tuple[Ints, Ints], columns: tuple[Ints, Ints]) -> Floats:
    """Mean pixel of every window, normalised as the networks were trained: float32 (..., rows, columns, 3)."""
    (top, bottom), (left, right) = rows, columns
    if top.ndim == 1:
        bands = integral[bottom] - integral[top]
        sums = bands[:, right] - bands[:, left]
    else:
        top, bottom, left, right = top[:, :, None], bottom[:, :, None], left[:, None], right[:, None]
        sums = integral[bottom, right] - integral[top, right] - integral[bottom, left] + integral[top, left]
        return _normalised(sums, ((bottom - top) * (right - left))[..., None])
    return _normalised(sums, (bottom - top)[:, None, None] * (right - left)[None, :, None])


def _normalised(sums: npt.NDArray[Any], area: Ints) -> Floats:
    return np.asarray(((sums / area).astype(np.float32) - np.float32(127.5)) * np.float32(0.0078125))


def _boxes_of_cells(regression: Floats, probability: Floats, scale: float, threshold: float) -> Floats:
    """P-Net's cells at or above the threshold as boxes: float32 (n, 9): corners, probability, regression."""
    rows, columns = np.nonzero(probability >= np.float32(threshold))
    cells = np.stack([columns, rows], axis=1).astype(np.float32)
    first = np.floor((STRIDE * cells + 1) / np.float32(scale))
    last = np.floor((STRIDE * cells + CELL) / np.float32(scale))
    found = regression[:, rows, columns].T
    return np.concatenate([first, last, probability[rows, columns, None], found], axis=1).astype(np.float32)


def _nms(boxes: Floats, threshold: float, of_smaller: bool = False) -> Ints:
    """Greedy non-maximum suppression, best first; `of_smaller` measures the overlap against the smaller box, pixels inclusive."""
    more = np.float32(1 if of_smaller else 0)
    x1, y1, x2, y2 = boxes[:, 0], boxes[:, 1], boxes[:, 2], boxes[:, 3]
    area = (x2 - x1 + more) * (y2 - y1 + more)
    left = np.argsort(boxes[:, 4], kind="stable")[::-1] if of_smaller else np.argsort(-boxes[:, 4], kind="stable")
    kept = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        width = np.minimum(x2[best], x2[left]) - np.maximum(x1[best], x1[left]) + more
        height = np.minimum(y2[best], y2[left]) - np.maximum(y1[best], y1[left]) + more
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        whole = np.minimum(area[best], area[left]) if of_smaller else area[best] + area[left] - shared
        left = left[shared <= np.float32(threshold) * whole]
    return np.array(kept, np.int64)


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
