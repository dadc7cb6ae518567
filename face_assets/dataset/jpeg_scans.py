"""JPEG files whose end is missing: checks that nearly all of the picture is there, which viewers show."""

import numpy as np
from PIL import Image

END = b"\xff\xd9"
MOST_MISSING = 0.05
"""Share of rows that may be missing at the end."""
FRAMES = (0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
SCAN = 0xDA
COEFFICIENTS = 64
GREY = 128  # libjpeg's value for missing blocks


def all_scans_began(content: bytes) -> bool:
    """True where every scan of a JPEG begins in these bytes: a progressive one refines its coefficients scan by scan.

    See ITU-T T.81, G.1.1.1: the bits of coefficients that are still to come are known from the scans' headers.
    """
    bits: dict[int, list[int]] = {}
    at = 2
    while at + 4 <= len(content):
        at = content.find(b"\xff", at)
        if at < 0 or at + 4 > len(content):
            break
        marker = content[at + 1]
        if marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD9:  # within a scan, or without a length
            at += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(content[at + 2 : at + 4], "big")
        segment = content[at + 4 : at + 2 + length]
        if marker in FRAMES:
            bits = {component: [1] * COEFFICIENTS for component in segment[6::3]}
        elif marker == SCAN and len(segment) >= 4:
            count = segment[0]
            first, last, approximation = segment[1 + 2 * count : 4 + 2 * count] or (0, -1, 0)
            for component in segment[1 : 1 + 2 * count : 2]:
                if component in bits:
                    bits[component][first : last + 1] = [approximation & 15] * (last + 1 - first)
        at += 2 + length
    return bool(bits) and not any(any(left) for left in bits.values())


def lacks_rows(image: Image.Image) -> bool:
    """True where the last MOST_MISSING of the rows are all the grey of missing blocks."""
    top = min(int(image.height * (1 - MOST_MISSING)), image.height - 1)
    last = np.asarray(image.crop((0, top, image.width, image.height)))
    return bool((np.abs(last.astype(np.int16) - GREY) <= 1).all())
