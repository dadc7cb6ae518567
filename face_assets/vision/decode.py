"""From the bytes of a photo to upright RGB pixels, or a sentence why not."""

import io
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin
from PIL.Image import Transpose

Pixels = npt.NDArray[np.uint8]

MEGAPIXELS = 100.0
SHORTEST_SIDE = 20
GREY = (128, 128, 128)
SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N", "I")
HASH_WIDTH, HASH_HEIGHT = 9, 8
ORIENTATION = 0x0112  # EXIF
TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
PIXELS = re.compile(r"\((\d+) pixels\)")
SIDEWAYS = (Transpose.TRANSPOSE, Transpose.ROTATE_270, Transpose.TRANSVERSE, Transpose.ROTATE_90)
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
    """The bytes are no photo that can be used; `reason` is a few words for a list, `megapixels` what it has where those are too many."""

    def __init__(self, reason: str, megapixels: float | None = None):
        super().__init__(reason)
        self.reason, self.megapixels = reason, megapixels

    @classmethod
    def too_large(cls, megapixels: float, limit: float) -> "UnusablePhoto":
        """The refusal of a photo that has more megapixels than the limit."""
        return cls(f"{megapixels:.1f} megapixels, more than {limit:.1f}", megapixels)


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
        return np.asarray(_rgb(_upright(image, _turn(image))))


def inspect(content: bytes, max_megapixels: float = MEGAPIXELS) -> Inspection:
    """Size, kind and hash of a photo; reads it to its end, at an eighth of its size where it is a JPEG. Raises UnusablePhoto."""
    with _opened(content, max_megapixels) as image:
        kind, mode = image.format or "", image.mode
        width, height = image.size
        if kind in ("JPEG", "MPO"):
            image.draft(None, (HASH_WIDTH * 8, HASH_HEIGHT * 8))
        turn = _turn(image)
        upright = _rgb(_upright(image, turn))
        if turn in SIDEWAYS:
            width, height = height, width
        return Inspection("JPEG" if kind == "MPO" else kind, width, height, mode, _difference_hash(upright))


@contextmanager
def _opened(content: bytes, max_megapixels: float) -> Iterator[Image.Image]:
    if not content:
        raise UnusablePhoto("empty file")
    try:
        with _plugin(content) as image:
            _refuse(image, max_megapixels)
            yield image
    except UnusablePhoto:
        raise
    except Image.DecompressionBombError as error:  # Pillow's WebP has a limit of its own, 179 megapixels, before ours can be asked
        found, limit = PIXELS.search(str(error)), min(max_megapixels, 2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6)
        raise UnusablePhoto.too_large(int(found[1]) / 1e6, limit) if found else UnusablePhoto("too many pixels") from error
    except BROKEN as error:
        sentence = str(error).lower()
        raise UnusablePhoto("truncated" if "truncated" in sentence or "eof" in sentence else f"broken image ({_short(error)})") from error


def _plugin(content: bytes) -> Image.Image:
    """Opened by its first bytes and not by Image.open, whose limit on pixels is the whole process's and would speak before ours."""
    file = io.BytesIO(content)
    if content.startswith(b"\xff\xd8\xff"):
        return JpegImagePlugin.jpeg_factory(file)  # also MPO
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImagePlugin.PngImageFile(file)
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return WebPImagePlugin.WebPImageFile(file)
    raise UnusablePhoto("not a JPEG, PNG or WebP image")


def _turn(image: Image.Image) -> Transpose | None:
    """What makes the photo upright; None where it is, or where its EXIF is broken, which spoils no pixel."""
    image.load()  # damaged pixels must be noticed here: reading EXIF may load the image too
    try:
        return TURNS.get(image.getexif().get(ORIENTATION, 1))
    except BROKEN:
        return None


def _upright(image: Image.Image, turn: Transpose | None) -> Image.Image:
    return image if turn is None else image.transpose(turn)


def _short(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:80] or type(error).__name__


def _refuse(image: Image.Image, max_megapixels: float) -> None:
    megapixels = image.width * image.height / 1e6
    if megapixels > max_megapixels:
        raise UnusablePhoto.too_large(megapixels, max_megapixels)
    if min(image.size) < SHORTEST_SIDE:
        raise UnusablePhoto(f"too small: {image.width}x{image.height} pixels")
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        raise UnusablePhoto("animated")


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in SIXTEEN_BITS:
        deep = np.asarray(image).astype(np.uint32)
        clear = deep == image.info.get("transparency", -1)  # a key colour is given in 16 bits
        image = Image.fromarray(np.clip(deep // 257, 0, 255).astype(np.uint8))
        if clear.any():
            image.putalpha(Image.fromarray(np.where(clear, 0, 255).astype(np.uint8)))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", layer.size, (*GREY, 255))
        return Image.alpha_composite(ground, layer).convert("RGB")
    return image.convert("RGB")


def _difference_hash(image: Image.Image) -> int:
    """dHash (https://www.hackerfactor.com/blog/index.php?/archives/529-Kind-of-Like-That.html): brighter than the neighbour or not."""
    small = np.asarray(image.convert("L").resize((HASH_WIDTH, HASH_HEIGHT), Image.Resampling.BILINEAR)).astype(np.int16)
    return int.from_bytes(np.packbits(small[:, 1:] > small[:, :-1]).tobytes(), "big")
