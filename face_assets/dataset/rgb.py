"""Conversion of an opened image to upright RGB."""

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.Image import Transpose

Pixels = npt.NDArray[np.uint8]

AT_ONCE = 4_000_000
"""Pixels that are converted at once: they and the result are all the memory that is needed besides Pillow's photo."""
GREY = (128, 128, 128)
SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N", "I")
TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
SIDEWAYS = (5, 6, 7, 8)
FROM_THE_END = (3, 4, 6, 7)
"""The orientations that turn the first row into the last."""


def rgb(image: Image.Image, orientation: int) -> Pixels:
    """Pixels, uint8 (h, w, 3) RGB, upright by EXIF's orientation, a few rows at a time; on grey where transparent, 16 bits scaled."""
    width, height = image.size
    rows = max(1, AT_ONCE // width)
    if rows >= height:
        return np.asarray(_turned(_converted(image), orientation))
    sideways = orientation in SIDEWAYS
    pixels = np.empty((width, height, 3) if sideways else (height, width, 3), np.uint8)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        part = np.asarray(_turned(_converted(image.crop((0, top, width, bottom))), orientation))
        start, end = (height - bottom, height - top) if orientation in FROM_THE_END else (top, bottom)
        if sideways:
            pixels[:, start:end] = part
        else:
            pixels[start:end] = part
    return pixels


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    """The image turned upright; unchanged for an orientation of 1 and for an invalid one."""
    return image.transpose(TURNS[orientation]) if orientation in TURNS else image


def _converted(image: Image.Image) -> Image.Image:
    if image.mode in SIXTEEN_BITS:
        deep = np.asarray(image).astype(np.uint32)
        clear = deep == image.info.get("transparency", -1)  # the transparent colour has 16 bits
        image = Image.fromarray(np.clip(deep // 257, 0, 255).astype(np.uint8))
        if clear.any():
            image.putalpha(Image.fromarray(np.where(clear, 0, 255).astype(np.uint8)))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", layer.size, (*GREY, 255))
        return Image.alpha_composite(ground, layer).convert("RGB")
    return image.convert("RGB")
