"""The interface of detectors: photo to faces, and face to crop; their settings, and what all of them do alike."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from face_assets.detection.cropping import box_crop, similarity_crop, upright_crop
from face_assets.detection.faces import Faces, turned_size

Floats = npt.NDArray[Any]
Ints = npt.NDArray[Any]
Pixels = npt.NDArray[np.uint8]

PIXELS_TOGETHER = 1_000_000  # of all photos that are decoded and searched at once
SURER = (
    20  # finds 99 % of the turned photos of LFW's validation people, as 1 does, which turns two upright photos of its 9,915 and drawings
)


@dataclass(frozen=True)
class DetectorConfig:
    """Settings that determine boxes and crops; see params.Detector for meanings and bounds. A release without one has its value here.

    family: that of a network in ONNX, None of MTCNN.
    """

    image_size: int = 160
    margin: int = 32
    min_face_size: int = 20
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)
    factor: float = 0.709
    max_side: int = 1024
    choose: Literal["largest", "most_probable", "most_central"] = "largest"
    align: Literal["box", "upright", "similarity"] = "box"
    turned_below: float = 0.0
    family: Literal["scrfd", "retinaface", "yunet"] | None = None
    input_size: int = 640
    min_probability: float = 0.5
    max_overlap: float = 0.4


class FaceDetector(ABC):
    """Finds faces and cuts crops. Not thread-safe: make one for each thread."""

    def __init__(self, config: DetectorConfig):
        self.config = config

    @abstractmethod
    def reduce(self, image: Pixels) -> Pixels:
        """A photo as it is searched."""

    @abstractmethod
    def search(self, images: Sequence[Pixels], shapes: Sequence[tuple[int, int]]) -> list[Faces]:
        """The faces of reduced photos, in pixels of the photos, whose heights and widths are `shapes`; the subject's first (`order`)."""

    def detect(self, image: Pixels) -> Faces:
        """The faces of an RGB photo, uint8 (h, w, 3), the subject's first; none is no error."""
        return self.detect_all([image])[0]

    def detect_all(self, images: Sequence[Pixels]) -> list[Faces]:
        """The faces of each photo, as `detect` finds them. All photos are processed at once; `enough` limits their number.

        A photo without a face of the probability `turned_below` is also searched turned by 90, 180 and 270°, and has the faces of the
        direction with the surest one, where that leaves a SURER-th of the doubt.
        """
        reduced, shapes = [self.reduce(image) for image in images], [(image.shape[0], image.shape[1]) for image in images]
        found = self.search(reduced, shapes)
        first = list(found)
        doubtful = [number for number, faces in enumerate(found) if faces.probability < self.config.turned_below]
        for quarter_turns in (1, 2, 3) if doubtful else ():
            sizes = [turned_size(*shapes[number], quarter_turns) for number in doubtful]
            turned = self.search([np.ascontiguousarray(np.rot90(reduced[number], quarter_turns)) for number in doubtful], sizes)
            for number, faces, size in zip(doubtful, turned, sizes, strict=True):
                if SURER * (1 - faces.probability) < 1 - first[number].probability and faces.probability > found[number].probability:
                    found[number] = faces.turned(-quarter_turns, *size)
        return found

    def crop(self, image: Pixels, faces: Faces, rank: int = 0) -> Pixels:
        """The crop of a face found in `image`: uint8 (image_size, image_size, 3); rank: its place among the faces, from 0."""
        config, upright = self.config, faces.turned(faces.quarter_turns, *image.shape[:2])
        image, box, landmarks = np.rot90(image, faces.quarter_turns), upright.boxes[rank], upright.landmarks[rank]
        if config.align == "similarity":
            return similarity_crop(image, landmarks, config.image_size)
        if config.align == "upright":
            return upright_crop(image, box, landmarks, config.image_size, config.margin)
        return box_crop(image, box, config.image_size, config.margin)

    def order(self, boxes: Floats, height: int, width: int) -> Ints:
        """The order of boxes with probability, float32 (n, 5), of a photo: the subject's first."""
        if self.config.choose == "most_probable":
            return np.argsort(boxes[:, 4])[::-1]
        if self.config.choose == "most_central":
            x = (boxes[:, 0] + boxes[:, 2] - width) / 2
            y = (boxes[:, 1] + boxes[:, 3] - height) / 2
            return np.argsort(x * x + y * y)
        return np.argsort((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))[::-1]


def enough(images: Iterable[Pixels]) -> bool:
    """True where the photos have enough pixels to be searched together: a dozen small ones, or one large one."""
    return bool(sum(image.shape[0] * image.shape[1] for image in images) >= PIXELS_TOGETHER)
