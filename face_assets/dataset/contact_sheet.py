"""Contact sheets: many small pictures with captions on one page."""

import io
from collections.abc import Sequence

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
    font = ImageFont.load_default(size=10)
    for number, (pixels, caption) in enumerate(images):
        left, top = number % columns * side, number // columns * (side + CAPTION)
        picture = Image.fromarray(pixels)
        picture.thumbnail((side - 2, side))
        sheet.paste(picture, (left, top))
        while caption and draw.textlength(caption, font=font) > side - 2:
            caption = caption[:-1]
        draw.text((left, top + side), caption, fill="black", font=font)
    output = io.BytesIO()
    sheet.quantize(COLOURS).save(output, "PNG", optimize=True)
    return output.getvalue()
