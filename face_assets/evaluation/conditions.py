"""Degradations of a photo around its face: pure functions of pixels, the same for the same photo everywhere.

A face window is cut from the photo first, in which the longer side of the detector's box is FACE pixels. So strengths mean the same for
every photo, and a photo of 50 megapixels costs no more than a small one.
"""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from face_assets.core.degradations import CLEAN

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
Random = np.random.RandomState
"""numpy guarantees that its numbers never change."""

SIDE, FACE = 250, 112
"""Side of a window and of the face in it, pixels: about LFW's."""
GAMMA = 2.2
ELECTRONS, READ_NOISE = 4000.0, 4.0
"""Of a white pixel at normal exposure, and of a pixel without light: a small sensor's."""
FABRICS = ((196, 214, 226), (240, 240, 240), (28, 28, 32), (64, 78, 120))
"""Colours of masks and caps, RGB."""


@dataclass(frozen=True)
class FaceWindow:
    """The surroundings of a face. pixels: uint8 (SIDE, SIDE, 3), RGB; landmarks: (5, 2), eyes, nose, corners of the mouth, x y in it."""

    pixels: Pixels
    landmarks: Floats


def face_window(photo: Pixels, box: Sequence[float], landmarks: Sequence[Sequence[float]]) -> FaceWindow:
    """The window around the face in `box`, x1 y1 x2 y2, of a photo uint8 (h, w, 3). Its border is repeated where the photo ends."""
    side = max(box[2] - box[0], box[3] - box[1], 1.0) * SIDE / FACE
    corner = np.array([(box[0] + box[2] - side) / 2, (box[1] + box[3] - side) / 2])
    scale = SIDE / side
    height, width = photo.shape[:2]
    left, right = (int(np.clip(one, 0, width)) for one in (np.floor(corner[0]), np.ceil(corner[0] + side)))
    top, bottom = (int(np.clip(one, 0, height)) for one in (np.floor(corner[1]), np.ceil(corner[1] + side)))
    left, top = min(left, width - 1), min(top, height - 1)
    inside = photo[top : max(bottom, top + 1), left : max(right, left + 1)]
    size = [min(SIDE, max(1, round(length * scale))) for length in inside.shape[1::-1]]
    resized = np.asarray(Image.fromarray(inside).resize((size[0], size[1]), Image.Resampling.BICUBIC, reducing_gap=3.0))
    before = [
        int(np.clip(round((at - start) * scale), 0, SIDE - length)) for at, start, length in zip((left, top), corner, size, strict=True)
    ]
    padding = [(before[axis], SIDE - size[axis] - before[axis]) for axis in (1, 0)]
    return FaceWindow(np.pad(resized, (*padding, (0, 0)), mode="edge"), (np.asarray(landmarks, np.float64) - corner) * scale)


def degrade(window: FaceWindow, condition: str, strength: float | None, content: str) -> Pixels:
    """The window's pixels in a condition, uint8 (SIDE, SIDE, 3). content: the photo's md5, from which what is drawn follows."""
    if condition == CLEAN:
        return window.pixels
    if condition in COVERS:
        return COVERS[condition](window, _random(content, condition))
    return DEGRADED[condition](window.pixels, strength or 0.0, _random(content, condition))


def _random(content: str, condition: str) -> Random:
    return Random(int.from_bytes(hashlib.sha256(f"{content} {condition}".encode()).digest()[:4], "big"))


def _resized(pixels: Pixels, side: int) -> Pixels:
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC))


def _reduced(pixels: Pixels, face: float) -> Pixels:
    return _resized(pixels, max(1, round(SIDE * face / FACE)))


def _resolution(pixels: Pixels, face: float, _: Random) -> Pixels:
    return _resized(_reduced(pixels, face), SIDE)


def _small(pixels: Pixels, face: float, _: Random) -> Pixels:
    reduced = _reduced(pixels, face)
    around = SIDE - len(reduced)
    return np.pad(reduced, ((around // 2, around - around // 2),) * 2 + ((0, 0),), mode="edge")


def _defocus(pixels: Pixels, radius: float, _: Random) -> Pixels:
    """A disc of `radius` percent of the face, in linear light as in a lens."""
    reach = radius / 100 * FACE
    half = int(np.ceil(reach))
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    return _spread(pixels, np.clip(reach + 0.5 - np.hypot(x, y), 0, 1))


def _motion(pixels: Pixels, length: float, random: Random) -> Pixels:
    """A line of `length` percent of the face in a drawn direction."""
    reach, angle = length / 100 * FACE / 2, random.uniform(0, np.pi)
    half = int(np.ceil(reach)) + 1
    kernel = np.zeros((2 * half + 1,) * 2)
    for at in np.linspace(-reach, reach, 8 * half):
        x, y = half + at * np.cos(angle), half + at * np.sin(angle)
        column, row = int(x), int(y)
        for down, over in ((0, 0), (0, 1), (1, 0), (1, 1)):
            kernel[row + down, column + over] += (1 - abs(y - row - down)) * (1 - abs(x - column - over))
    return _spread(pixels, kernel)


def _spread(pixels: Pixels, kernel: Floats) -> Pixels:
    """The convolution of linear light with a kernel (2r + 1, 2r + 1) of any sum."""
    from scipy import fft

    half = len(kernel) // 2
    light = np.pad(_light(pixels), ((half, half), (half, half), (0, 0)), mode="edge")
    shape = [fft.next_fast_len(length + 2 * half, real=True) for length in light.shape[:2]]
    spectrum = fft.rfft2(light, shape, axes=(0, 1)) * fft.rfft2(kernel / kernel.sum(), shape)[..., None]
    return _photo(fft.irfft2(spectrum, shape, axes=(0, 1))[2 * half : 2 * half + SIDE, 2 * half : 2 * half + SIDE])


def _light(pixels: Pixels) -> npt.NDArray[np.float32]:
    """Linear light, 0 to 1."""
    return np.take(np.asarray((np.arange(256) / 255) ** GAMMA, np.float32), pixels)


def _photo(light: npt.NDArray[np.floating]) -> Pixels:
    levels: Pixels = np.round(255 * np.clip(light, 0, 1) ** (1 / GAMMA)).astype(np.uint8)
    return levels


def _noise(pixels: Pixels, deviation: float, random: Random) -> Pixels:
    return np.clip(np.round(pixels + deviation * random.standard_normal(pixels.shape)), 0, 255).astype(np.uint8)


def _jpeg(pixels: Pixels, quality: float, _: Random) -> Pixels:
    output = io.BytesIO()
    Image.fromarray(pixels).save(output, "JPEG", quality=round(quality))
    return np.asarray(Image.open(output).convert("RGB"))


def _dark(pixels: Pixels, stops: float, random: Random) -> Pixels:
    """Less light, with shot noise (Gaussian, of the variance of the electrons) and read noise, without amplification."""
    electrons = _light(pixels) * (ELECTRONS * 2.0**-stops)
    noise = np.sqrt(electrons + READ_NOISE**2) * random.standard_normal(pixels.shape)
    return _photo((electrons + noise) / ELECTRONS)


def _overexposed(pixels: Pixels, stops: float, _: Random) -> Pixels:
    return _photo(_light(np.arange(256, dtype=np.uint8)) * 2.0**stops)[pixels]


def _greyscale(pixels: Pixels, _: float, __: Random) -> Pixels:
    return np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"))


def _turned(pixels: Pixels, degrees: float, random: Random) -> Pixels:
    around = int(np.ceil(SIDE * (np.sqrt(2) - 1) / 2))
    image = Image.fromarray(np.pad(pixels, ((around, around), (around, around), (0, 0)), mode="edge"))
    turned = np.asarray(image.rotate(degrees * (1 if random.random_sample() < 0.5 else -1), Image.Resampling.BICUBIC))
    return turned[around : around + SIDE, around : around + SIDE]


@dataclass(frozen=True)
class _Axes:
    """Places relative to the eyes: unit is the distance of the eyes, `across` from the left to the right one in the photo, `down` the face.

    middle: between the eyes; mouth: of its middle; (2,) each.
    """

    middle: Floats
    mouth: Floats
    across: Floats
    down: Floats

    @staticmethod
    def of(landmarks: Floats) -> "_Axes":
        left, right = landmarks[0], landmarks[1]
        across, least = right - left, 0.2 * FACE
        length = float(np.hypot(*across))
        if length < least:  # a profile, or points that fell together
            across = across / length * least if length > 1e-6 else np.array([least, 0.0])
        return _Axes((left + right) / 2, (landmarks[3] + landmarks[4]) / 2, across, np.array([-across[1], across[0]]))

    def at(self, start: Floats, places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        """Points in the window, from `start`, each so many eye distances across and down."""
        return [tuple(start + across * self.across + down * self.down) for across, down in places]

    def ellipse(self, start: tuple[float, float], wide: float, high: float) -> list[tuple[float, float]]:
        turns = np.linspace(0, 2 * np.pi, 32, endpoint=False)
        return self.at(np.array(start), [(wide * np.cos(one), high * np.sin(one)) for one in turns])


Shape = tuple[Sequence[tuple[float, float]], tuple[int, int, int]]


def _covered(pixels: Pixels, shapes: Sequence[Shape]) -> Pixels:
    """The pixels below polygons of a colour, with smooth edges."""
    image = Image.fromarray(pixels)
    for points, colour in shapes:
        mask = Image.new("L", (2 * SIDE, 2 * SIDE))
        ImageDraw.Draw(mask).polygon([(2 * x, 2 * y) for x, y in points], fill=255)
        image.paste(colour, (0, 0), mask.resize((SIDE, SIDE), Image.Resampling.BOX))
    return np.asarray(image)


def _fabric(random: Random) -> tuple[int, int, int]:
    return FABRICS[random.randint(len(FABRICS))]


def _mask(window: FaceWindow, random: Random) -> Pixels:
    axes = _Axes.of(window.landmarks)
    upper = axes.at(axes.middle, [(-1.05, 0.5), (0.0, 0.38), (1.05, 0.5)])
    lower = axes.at(axes.mouth, [(0.8, 0.35), (0.4, 0.85), (-0.4, 0.85), (-0.8, 0.35)])
    return _covered(window.pixels, [([*upper, *lower], _fabric(random))])


def _sunglasses(window: FaceWindow, _: Random) -> Pixels:
    axes, black = _Axes.of(window.landmarks), (18, 18, 20)
    lenses = [axes.ellipse(eye, 0.42, 0.34) for eye in axes.at(axes.middle, [(-0.5, 0.06), (0.5, 0.06)])]
    bar = axes.at(axes.middle, [(-1.15, -0.12), (1.15, -0.12), (1.15, 0.02), (-1.15, 0.02)])
    return _covered(window.pixels, [(shape, black) for shape in (*lenses, bar)])


def _cap(window: FaceWindow, random: Random) -> Pixels:
    axes, colour = _Axes.of(window.landmarks), _fabric(random)
    crown = axes.at(axes.middle, [(-1.15, -0.5), (-1.1, -1.3), (-0.6, -1.9), (0.6, -1.9), (1.1, -1.3), (1.15, -0.5)])
    brim = axes.ellipse(axes.at(axes.middle, [(0.0, -0.5)])[0], 1.25, 0.2)
    return _covered(window.pixels, [(crown, colour), (brim, tuple(one * 2 // 3 for one in colour))])  # type: ignore[list-item]


DEGRADED: dict[str, Callable[[Pixels, float, Random], Pixels]] = {
    "resolution": _resolution,
    "small": _small,
    "defocus": _defocus,
    "motion": _motion,
    "noise": _noise,
    "jpeg": _jpeg,
    "dark": _dark,
    "overexposed": _overexposed,
    "greyscale": _greyscale,
    "turned": _turned,
}
COVERS: dict[str, Callable[[FaceWindow, Random], Pixels]] = {"mask": _mask, "sunglasses": _sunglasses, "cap": _cap}
