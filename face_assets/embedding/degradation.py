"""Degraded views of crops: a face as a bad camera, a tilted head or a covered face would have shown it, for training.

A view is a function of the crop, the crop's key and the view's name, so stored results of it are kept by content.
"""

import hashlib
import io
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter
from PIL.Image import Resampling

from face_assets.core import params

KINDS: tuple[params.View, ...] = ("camera", "turned", "covered")
"""camera: few pixels, out of focus or moved, noisy, badly lit, compressed. turned: in the plane. covered: mask, sunglasses, cap, object."""
VERSION = 1  # of what the views look like: part of the name under which their activations are stored

FEWEST, MOST = 12, 72  # pixels of a camera's crop, log-uniform
DEGREES = 35.0
REDUCERS = (Resampling.BOX, Resampling.BILINEAR, Resampling.BICUBIC, Resampling.LANCZOS)
ENLARGERS = (Resampling.NEAREST, Resampling.BILINEAR, Resampling.BICUBIC)

Crop = npt.NDArray[np.uint8]


def view_names(degrade: Mapping[params.View, int]) -> list[str]:
    """The names of a crop's degraded views, in an order that does not depend on that of `degrade` (kind → number of views)."""
    return [f"{kind} {number}" for kind in KINDS for number in range(degrade.get(kind, 0))]


def degraded(crop: Crop, key: str, name: str, flip: bool) -> Crop:
    """The view `name` of the crop uint8 (s, s, 3), RGB, stored under `key`; half of the views are mirrored if `flip`."""
    draw = np.random.default_rng(int.from_bytes(hashlib.sha256(f"{key} {name}".encode()).digest()[:8], "big"))
    image = Image.fromarray(crop)
    if draw.random() < 0.5 and flip:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    kind = name.partition(" ")[0]
    if kind == "turned" or draw.random() < 0.2:
        image = _turned(image, draw)
    if kind == "covered":
        image = _covered(image, draw)
    if kind == "camera" or draw.random() < 0.3:
        image = _camera(image, draw)
    return np.asarray(image)


def _turned(image: Image.Image, draw: np.random.Generator) -> Image.Image:
    """The image turned by up to DEGREES about a point near its middle; its own mirror image fills the corners."""
    side = image.width
    border = math.ceil(side / 4)
    wide = Image.fromarray(np.pad(np.asarray(image), ((border, border), (border, border), (0, 0)), "reflect"))
    moved = tuple(draw.uniform(-0.04, 0.04, 2) * side)
    wide = wide.rotate(float(draw.uniform(-DEGREES, DEGREES)), Resampling.BILINEAR, translate=moved)
    cut = border + round(side * draw.uniform(-0.06, 0.06))  # a detector's box of a turned face is larger or smaller
    return wide.resize((side, side), Resampling.BILINEAR, (cut, cut, wide.width - cut, wide.height - cut))


def _covered(image: Image.Image, draw: np.random.Generator) -> Image.Image:
    """The image with a mask, sunglasses, a cap or some object before the face, in one tint with noise and a gradient."""
    side = image.width
    shape = Image.new("L", image.size)
    pencil = ImageDraw.Draw(shape)
    left, right, shift = draw.uniform(0.02, 0.2), draw.uniform(0.8, 0.98), draw.uniform(-0.05, 0.05)
    what = draw.integers(4)
    if what == 0:  # mask
        top = 0.58 + shift
        outline = [
            (left, top + 0.04),
            (0.5, top - draw.uniform(0, 0.1)),
            (right, top + 0.04),
            (right - 0.1, 0.85),
            (0.5, 0.98),
            (left + 0.1, 0.85),
        ]
        pencil.polygon([(x * side, y * side) for x, y in outline], 255)
    elif what == 1:  # sunglasses
        top, bottom, bridge = 0.32 + shift, 0.46 + shift + draw.uniform(0, 0.08), draw.uniform(0.02, 0.06)
        for a, b in ((left, 0.5 - bridge), (0.5 + bridge, right)):
            pencil.rounded_rectangle([a * side, top * side, b * side, bottom * side], draw.uniform(0, 0.07) * side, 255)
        pencil.line([left * side, (top + 0.03) * side, right * side, (top + 0.03) * side], 255, max(1, round(0.02 * side)))
    elif what == 2:  # cap
        pencil.ellipse([(left - 0.15) * side, -0.5 * side, (right + 0.15) * side, (0.3 + shift) * side], 255)
    else:  # a hand, a phone, somebody's shoulder
        width, height = draw.uniform(0.2, 0.6, 2)
        x, y = draw.uniform(0, 1 - width), draw.uniform(0.1, 1 - height)
        box = [x * side, y * side, (x + width) * side, (y + height) * side]
        (pencil.ellipse if draw.random() < 0.5 else pencil.rectangle)(box, 255)
    shade = np.linspace(-1, 1, side)[:, None, None] * draw.uniform(-40, 40) + draw.normal(0, draw.uniform(1, 12), (side, side, 1))
    tint = draw.uniform(0, 255, 3) * draw.choice([0.2, 1.0])
    cover = Image.fromarray(np.clip(tint + shade, 0, 255).astype(np.uint8))
    return Image.composite(cover, image, shape.filter(ImageFilter.GaussianBlur(draw.uniform(0, 0.01) * side)))


def _camera(image: Image.Image, draw: np.random.Generator) -> Image.Image:
    """The image through a bad camera: blur, few pixels, noise, light, compression, and enlarged to its size."""
    side = image.width
    few = round(math.exp(draw.uniform(math.log(FEWEST), math.log(MOST))))
    if draw.random() < 0.15:
        image = _moved(image, draw)
    image = image.resize((few, few), REDUCERS[draw.integers(len(REDUCERS))])
    if draw.random() < 0.3:
        image = image.filter(ImageFilter.GaussianBlur(draw.uniform(0.2, 1.0)))
    sent = max(few, int(draw.integers(24, 112)))
    pixels: npt.NDArray[np.floating[Any]] = np.asarray(image.resize((sent, sent), ENLARGERS[1 + draw.integers(2)]), np.float32)
    if draw.random() < 0.35:
        pixels = pixels + draw.normal(0, draw.uniform(1, 12), (*pixels.shape[:2], draw.choice([1, 3])))
    if draw.random() < 0.35:
        pixels = 255 * np.clip(pixels / 255, 0, 1) ** draw.uniform(0.5, 2.2)
    if draw.random() < 0.25:
        pixels = draw.uniform(0.5, 1.3) * (pixels - 128) + 128 + draw.uniform(-40, 30)
    if draw.random() < 0.1:
        pixels = pixels.mean(2, keepdims=True).repeat(3, 2)
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    if draw.random() < 0.8:
        compressed = io.BytesIO()
        image.save(compressed, "JPEG", quality=int(draw.integers(15, 90)))
        image = Image.open(compressed).convert("RGB")
    return image.resize((side, side), ENLARGERS[draw.choice(3, p=[0.05, 0.45, 0.5])])


def _moved(image: Image.Image, draw: np.random.Generator) -> Image.Image:
    """The image blurred along a line, as by a movement while the shutter is open."""
    side, length, angle = image.width, draw.uniform(0.02, 0.08), draw.uniform(0, math.pi)
    steps = np.linspace(-0.5, 0.5, 7) * length * side
    padded = np.pad(np.asarray(image, np.float32), ((side // 16, side // 16), (side // 16, side // 16), (0, 0)), "edge")
    border, total = side // 16, np.zeros((side, side, 3), np.float32)
    for step in steps:
        x, y = (border + round(step * part) for part in (math.cos(angle), math.sin(angle)))
        total += padded[y : y + side, x : x + side]
    return Image.fromarray((total / len(steps)).astype(np.uint8))
