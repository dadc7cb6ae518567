"""A photo with boxes and names drawn on it."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from face_assets.core.files import write_bytes
from face_assets.dataset.decoding import decode
from face_assets.detection.contact_sheet import caption_font

KNOWN, UNKNOWN = (0, 160, 60), (210, 60, 30)


def draw_faces(photo: Path, faces: Sequence[Mapping[str, Any]], to: Path) -> None:
    """Writes a JPEG of the photo, upright, with the box of each face and who it is. faces: as `identify` reports them."""
    image = Image.fromarray(decode(photo.read_bytes()))
    pen, line = ImageDraw.Draw(image), max(2, max(image.size) // 400)
    font = caption_font().font_variant(size=max(12, max(image.size) // 45))
    for face in faces:
        colour = KNOWN if face["accepted"] else UNKNOWN
        left, top, right, bottom = face["box"]
        pen.rectangle((left, top, right, bottom), outline=colour, width=line)
        caption = (
            f"{face['identity'] if face['accepted'] else 'too poor to tell' if face['too_poor'] else 'nobody enrolled'} {face['score']:.2f}"
        )
        box = pen.textbbox((left, bottom + line), caption, font=font)
        pen.rectangle(box, fill=colour)
        pen.text((left, bottom + line), caption, fill="white", font=font)
    output = io.BytesIO()
    image.save(output, "JPEG", quality=92)
    write_bytes(to, output.getvalue())
