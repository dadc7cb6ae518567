"""facenet-pytorch's MTCNN as its users call it: one photo after another."""

import io
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from face_assets.detection.facenet_pytorch import import_facenet_pytorch

MARGIN, SIDE = 32, 160
Floats = npt.NDArray[Any]


@dataclass(frozen=True)
class Found:
    """The subject's face: box (4,), landmarks (5, 2), crop uint8 (side, side, 3)."""

    box: Floats
    landmarks: Floats
    crop: npt.NDArray[np.uint8]


class Reference:
    """Its detector, on torch's threads."""

    def __init__(self) -> None:
        self._mtcnn = import_facenet_pytorch().MTCNN(image_size=SIDE, margin=MARGIN, select_largest=True)
        self._cut = sys.modules["facenet_pytorch.models.utils.detect_face"].crop_resize

    def find(self, content: bytes) -> Found | None:
        """From a photo's bytes to the crop of its largest face, cut as its `extract_face` does it, which needs torchvision for its end."""
        with Image.open(io.BytesIO(content)) as opened:
            image = opened.convert("RGB")
        boxes, _, landmarks = self._mtcnn.detect(image, landmarks=True)
        if boxes is None:
            return None
        box = boxes[0]
        margin = MARGIN * (box[2:] - box[:2]) / (SIDE - MARGIN) / 2
        corners = [*np.maximum(box[:2] - margin, 0), *np.minimum(box[2:] + margin, image.size)]
        return Found(box, landmarks[0], np.asarray(self._cut(image, [int(value) for value in corners], SIDE)))
