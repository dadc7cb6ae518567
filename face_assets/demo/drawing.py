"""Canvas on which faces are painted in their own coordinates: soft-edged shapes, each within the pixels near it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[Any]
Shape = Callable[[Plane, Plane], Plane]
Colour = npt.NDArray[np.float64]
SOFTNESS = 0.006


@dataclass(frozen=True)
class View:
    """Position of the face in the picture: shift and scale as shares of its side, rotation in radians."""

    x: float
    y: float
    scale: float
    rotation: float


class Canvas:
    """Pixels float32 (size, size, 3) in 0..255. Face coordinates: (0, 0) in the middle of the face, 1 the side of the picture."""

    def __init__(self, size: int, view: View, background: npt.NDArray[np.float32]):
        self.size = size
        self.view = view
        self.pixels = background.astype(np.float32).copy()
        rows, columns = np.mgrid[0:size, 0:size].astype(np.float32) / size - 0.5
        across, down = (columns - view.x) / view.scale, (rows - view.y) / view.scale
        cosine, sine = np.float32(np.cos(view.rotation)), np.float32(np.sin(view.rotation))
        self.u: Plane = cosine * across + sine * down
        self.v: Plane = -sine * across + cosine * down

    def paint(self, x: float, y: float, reach: float, colour: Colour, shape: Shape) -> None:
        """Paints `colour` with the opacity `shape` (0 to 1) of coordinates around (x, y), within `reach` of that point.

        colour: (3,), or (h, w, 3) over the whole canvas.
        """
        window = self._window(x, y, reach)
        mask = np.clip(shape(self.u[window] - np.float32(x), self.v[window] - np.float32(y)), 0, 1)[..., None]
        ink = colour[window] if colour.ndim == 3 else colour
        self.pixels[window] += mask * (np.asarray(ink, np.float32) - self.pixels[window])

    def _window(self, x: float, y: float, reach: float) -> tuple[slice, slice]:
        cosine, sine = np.cos(self.view.rotation), np.sin(self.view.rotation)
        column = (x * cosine - y * sine) * self.view.scale + self.view.x + 0.5
        row = (x * sine + y * cosine) * self.view.scale + self.view.y + 0.5
        half = reach * self.view.scale
        return self._slice(row - half, row + half), self._slice(column - half, column + half)

    def _slice(self, low: float, high: float) -> slice:
        return slice(max(0, int(low * self.size)), max(0, min(self.size, int(high * self.size) + 2)))


def fill(distance: Plane, softness: float = SOFTNESS) -> Plane:
    """1 inside (negative distance), 0 outside, soft in between."""
    return np.asarray(np.clip(0.5 - distance / softness, 0, 1))


def ellipse(width: float, height: float, softness: float = SOFTNESS, opacity: float = 1.0) -> Shape:
    """A filled ellipse of those half axes."""
    smaller = min(width, height)
    return lambda u, v: opacity * fill((np.sqrt((u / width) ** 2 + (v / height) ** 2) - 1) * smaller, softness)


def glow(width: float, height: float, opacity: float) -> Shape:
    """A soft spot."""
    return lambda u, v: opacity * np.exp(-((u / width) ** 2 + (v / height) ** 2))


def ring(radius: float, thickness: float, stretch: float = 1.0) -> Shape:
    """An outline of an ellipse."""
    return lambda u, v: fill(np.abs(np.hypot(u / stretch, v) - radius) - thickness / 2)


def bar(half_width: float, half_height: float, bend: float = 0.0, slope: float = 0.0, softness: float = SOFTNESS) -> Shape:
    """A rounded bar, bent like a bow (`bend`, up where positive) and tilted."""

    def shape(u: Plane, v: Plane) -> Plane:
        middle = slope * u + bend * (u * u) / half_width
        thickness = half_height * np.sqrt(np.clip(1 - (u / half_width) ** 2, 0, 1))
        return fill(np.abs(v - middle) - thickness, softness) * (np.abs(u) < half_width)

    return shape
