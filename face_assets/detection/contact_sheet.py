"""Contact sheets: many small pictures with captions on one page."""

import io
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

CAPTION = 14
COLOURS = 64


def contact_sheet(images: Sequence[tuple[npt.NDArray[np.uint8], str]], columns: int = 8, side: int = 96) -> bytes:
    """A PNG of the images, uint8 (h, w, 3) each, in rows, with their captions cut to fit; small enough for an event log."""
    rows = max(1, -(-len(images) // columns))
    sheet = Image.new("RGB", (columns * side, rows * (side + CAPTION)), "white")
    draw = ImageDraw.Draw(sheet)
    font = _font()
    for number, (pixels, caption) in enumerate(images):
        left, top = number % columns * side, number // columns * (side + CAPTION)
        picture = Image.fromarray(pixels)
        picture.thumbnail((side - 2, side))
        sheet.paste(picture, (left, top))
        draw.text((left, top + side), _cut(caption, side - 2, draw, font), fill="black", font=font)
    output = io.BytesIO()
    sheet.quantize(COLOURS).save(output, "PNG", optimize=True)
    return output.getvalue()


def _font() -> ImageFont.FreeTypeFont:
    """matplotlib's font, since Pillow's has no letter beyond Latin-1."""
    spec = find_spec("matplotlib")  # which takes a fifth of a second to import
    assert spec and spec.origin
    return ImageFont.truetype(Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf", 10)


def _cut(caption: str, width: int, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont) -> str:
    """The beginning of the caption, on one line, that is at most `width` pixels wide."""
    text = " ".join(caption[:width].split())
    while text and draw.textlength(text, font=font) > width:
        text = text[:-1]
    return text
