"""Contact sheets: many small pictures with captions on one page."""

import io
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

LINES, LINE = 2, 12  # of a caption; the height of one in pixels
CAPTION = LINES * LINE + 2
QUALITY = 85


def contact_sheet(images: Sequence[tuple[npt.NDArray[np.uint8], str]], columns: int = 8, side: int = 96) -> bytes:
    """A JPEG of the images, uint8 (h, w, 3) each, in rows, with their captions below; small enough for an event log."""
    rows = max(1, -(-len(images) // columns))
    sheet = Image.new("RGB", (columns * side, rows * (side + CAPTION)), "white")
    draw = ImageDraw.Draw(sheet)
    font = caption_font()
    for number, (pixels, caption) in enumerate(images):
        left, top = number % columns * side, number // columns * (side + CAPTION)
        picture = Image.fromarray(pixels)
        picture.thumbnail((side - 2, side))
        sheet.paste(picture, (left, top))
        for line, text in enumerate(wrapped(caption, side - 2, font)):
            draw.text((left, top + side + line * LINE), text, fill="black", font=font)
    output = io.BytesIO()
    sheet.save(output, "JPEG", quality=QUALITY, optimize=True)
    return output.getvalue()


def caption_font() -> ImageFont.FreeTypeFont:
    """matplotlib's font, since Pillow's has no letter beyond Latin-1."""
    spec = find_spec("matplotlib")  # which takes a fifth of a second to import
    assert spec and spec.origin
    return ImageFont.truetype(Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf", 10)


def wrapped(caption: str, width: int, font: ImageFont.FreeTypeFont) -> list[str]:
    """The caption in at most LINES lines of `width` pixels. One that is longer loses its middle: names differ at both ends."""
    whole = " ".join(caption.split())
    for kept in range(min(len(whole), LINES * width), 0, -1):
        text = whole if kept == len(whole) else f"{whole[: kept - kept // 2]}…{whole[len(whole) - kept // 2 :]}"
        if font.getlength(text) <= LINES * width and len(lines := _lines(text, width, font)) <= LINES:
            return lines
    return []


def _lines(text: str, width: int, font: ImageFont.FreeTypeFont) -> list[str]:
    """The text broken into lines of `width` pixels, at a space or an underscore where the second half of a line has one."""
    lines = []
    while text:
        fits = next((size for size in range(2, len(text) + 1) if font.getlength(text[:size]) > width), len(text) + 1) - 1
        if fits < len(text):
            space = max(text.rfind(" ", 0, fits + 1), text.rfind("_", 0, fits) + 1)
            fits = space if space > fits // 2 else fits
        lines.append(text[:fits])
        text = text[fits:].lstrip()
    return lines
