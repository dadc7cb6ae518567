"""Faces of a photo, and the photo turned by quarters in which they were found."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[Any]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Faces:
    """The faces of a photo, the subject's first. boxes: float32 (n, 4), x1 y1 x2 y2 in photo pixels; probabilities: float32 (n,);
    landmarks: float32 (n, 5, 2), eyes, nose, corners of the mouth, x y in photo pixels; quarter_turns: counterclockwise turns by 90° of the
    photo that set it upright, 0 to 3."""

    boxes: Floats
    probabilities: Floats
    landmarks: Floats
    quarter_turns: int = 0

    @staticmethod
    def none() -> "Faces":
        """No faces."""
        return Faces(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty((0, 5, 2), np.float32))

    def turned(self, quarter_turns: int, height: int, width: int) -> "Faces":
        """These faces after counterclockwise turns by 90° of their photo, of that height and width."""
        if not quarter_turns % 4:
            return self
        corners = turned_points(self.boxes.reshape(-1, 2, 2), quarter_turns, height, width)
        boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
        landmarks = turned_points(self.landmarks, quarter_turns, height, width)
        return Faces(boxes, self.probabilities, landmarks, (self.quarter_turns - quarter_turns) % 4)

    @property
    def probability(self) -> float:
        """The probability of the surest face; 0 without one."""
        return float(self.probabilities.max(initial=0.0))


def turned_size(height: int, width: int, quarter_turns: int) -> tuple[int, int]:
    """Height and width of a photo after turns by 90°."""
    return (width, height) if quarter_turns % 2 else (height, width)


def turned_points(points: Floats, quarter_turns: int, height: int, width: int) -> Floats:
    """Points (…, 2), x y, where they are after counterclockwise turns by 90° (`np.rot90`) of a photo of that height and width."""
    x, y = points[..., 0], points[..., 1]
    places = ((x, y), (y, width - x), (width - x, height - y), (height - y, x))
    return np.stack(places[quarter_turns % 4], axis=-1).astype(points.dtype)
