"""From the bytes of a photo to upright RGB pixels, or a sentence why not."""

import io
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

Pixels = npt.NDArray[np.uint8]

FORMATS = ("JPEG", "PNG", "WEBP")  # an MPO opens as JPEG
MEGAPIXELS = 100.0
SHORTEST_SIDE = 20
GREY = (128, 128, 128)
SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N", "I")
HASH_WIDTH, HASH_HEIGHT = 9, 8
PIXELS = re.compile(r"\((\d+) pixels\)")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # our own limit decides
# what Pillow raises on bytes that are not what they say
BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    struct.error,
    OverflowError,
    MemoryError,
    EOFError,
    IndexError,
    KeyError,
)


class UnusablePhoto(ValueError):
    """The bytes are no photo that can be used; `reason` is a few words for a list."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Inspection:
    """What is known of a readable photo; `hash` is a 64-bit difference hash of the upright photo."""

    format: str
    width: int
    height: int
    mode: str
    hash: int


def decode(content: bytes, max_megapixels: float = MEGAPIXELS) -> Pixels:
    """uint8 (h, w, 3) RGB, upright by EXIF; transparency lies on grey, 16 bits are scaled to 8. Raises UnusablePhoto."""
    with _opened(content, max_megapixels) as image:
        return np.asarray(_rgb(ImageOps.exif_transpose(image)))


def inspect(content: bytes, max_megapixels: float = MEGAPIXELS) -> Inspection:
    """Size, kind and hash of a photo; reads it to its end, at an eighth of its size where it is a JPEG. Raises UnusablePhoto."""
    with _opened(content, max_megapixels) as image:
        kind, mode = image.format or "", image.mode
        width, height = image.size
        if kind in ("JPEG", "MPO"):
            image.draft(None, (HASH_WIDTH * 8, HASH_HEIGHT * 8))
        upright = _rgb(ImageOps.exif_transpose(image))
        if (width < height) != (upright.width < upright.height):
            width, height = height, width
        return Inspection("JPEG" if kind == "MPO" else kind, width, height, mode, _difference_hash(upright))


@contextmanager
def _opened(content: bytes, max_megapixels: float) -> Iterator[Image.Image]:
    if not content:
        raise UnusablePhoto("empty file")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _refuse(image, max_megapixels)
            yield image
    except UnusablePhoto:
        raise
    except UnidentifiedImageError as error:
        raise UnusablePhoto("not a JPEG, PNG or WebP image") from error
    except Image.DecompressionBombError as error:  # Pillow looks at the header too, and gives up at 178 megapixels
        found = PIXELS.search(str(error))
        raise UnusablePhoto(f"{int(found[1]) / 1e6 if found else 178:.1f} megapixels, more than {max_megapixels:.1f}") from error
    except BROKEN as error:
        sentence = str(error).lower()
        raise UnusablePhoto("truncated" if "truncated" in sentence or "eof" in sentence else f"broken image ({_short(error)})") from error


def _short(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:80] or type(error).__name__


def _refuse(image: Image.Image, max_megapixels: float) -> None:
    megapixels = image.width * image.height / 1e6
    if megapixels > max_megapixels:
        raise UnusablePhoto(f"{megapixels:.1f} megapixels, more than {max_megapixels:.1f}")
    if min(image.size) < SHORTEST_SIDE:
        raise UnusablePhoto(f"too small: {image.width}x{image.height} pixels")
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        raise UnusablePhoto("animated")


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in SIXTEEN_BITS:
        deep = np.asarray(image).astype(np.uint32)
        return Image.fromarray(np.clip(deep // 257, 0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", layer.size, (*GREY, 255))
        return Image.alpha_composite(ground, layer).convert("RGB")
    return image.convert("RGB")


def _difference_hash(image: Image.Image) -> int:
    """dHash (https://www.hackerfactor.com/blog/index.php?/archives/529-Kind-of-Like-That.html): brighter than the neighbour or not."""
    small = np.asarray(image.convert("L").resize((HASH_WIDTH, HASH_HEIGHT), Image.Resampling.BILINEAR)).astype(np.int16)
    return int.from_bytes(np.packbits(small[:, 1:] > small[:, :-1]).tobytes(), "big")
