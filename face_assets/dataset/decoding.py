"""Decoding of photos to upright RGB pixels, with the reason where that fails."""

import io
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from face_assets.dataset.file_kinds import EXPORT, RAW, description_of, reader_of
from face_assets.dataset.jpeg_scans import END, all_scans_began, lacks_rows
from face_assets.dataset.png_chunks import essential
from face_assets.dataset.rgb import SIDEWAYS, Pixels, rgb
from face_assets.dataset.webp_size import webp_size

T = TypeVar("T")

MEGAPIXELS = 100.0
LARGE = 16_000_000
"""Number of pixels from which a process decodes one photo at a time."""
BYTES_A_PIXEL = 16
"""The most that a reader needs while it works (WebP: two canvases, the picture and its bytes)."""
SHORTEST_SIDE = 20
HASH_WIDTH, HASH_HEIGHT = 9, 8
ORIENTATION = 0x0112  # EXIF
REDUCED, DNG = 254, 50706  # TIFF's tags


def _heif(file: io.BytesIO) -> ImageFile.ImageFile:
    """The primary picture of a HEIC file, upright; libheif decodes no more pixels than the header states."""
    from pillow_heif import options  # where it is needed, for it brings three libraries
    from pillow_heif.as_plugin import HeifImageFile

    options.DECODE_THREADS = 1  # a core each for photos that are looked at side by side
    options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False
    return HeifImageFile(file)  # type: ignore[no-untyped-call]


READERS: dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,  # also the first picture of an MPO
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
    "HEIF": _heif,
    "JPEG2000": Jpeg2KImagePlugin.Jpeg2KImageFile,
}
# what Pillow raises on broken files; MemoryError is not among them, since it is no fault of the file
BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    struct.error,
    OverflowError,
    EOFError,
    IndexError,
    KeyError,
    AttributeError,
    RuntimeError,
    ArithmeticError,
    Image.DecompressionBombError,
)

_one_large, _one_again = threading.Lock(), threading.Lock()


class UnusablePhoto(ValueError):
    """The bytes are no usable photo; reason: a few words for a list; megapixels: the photo's, where they exceed the limit; is_certain: no
    lack of memory can be behind it."""

    def __init__(self, reason: str, megapixels: float | None = None, is_certain: bool = True):
        super().__init__(reason)
        self.reason, self.megapixels, self.is_certain = reason, megapixels, is_certain

    @classmethod
    def too_large(cls, megapixels: float, limit: float) -> "UnusablePhoto":
        """The error for a photo with more megapixels than the limit."""
        return cls(f"{megapixels:.1f} megapixels, more than {limit:.1f}", megapixels)


@dataclass(frozen=True)
class Inspection:
    """Facts of a readable photo; `hash` is a 64-bit difference hash of the upright photo."""

    format: str
    width: int
    height: int
    mode: str
    hash: int


def decode(content: bytes, max_megapixels: float = MEGAPIXELS) -> Pixels:
    """Pixels, uint8 (h, w, 3) RGB, upright by EXIF, the first frame of an animation; on grey where transparent, 16 bits scaled to 8.

    Raises UnusablePhoto, and MemoryError where memory is too small at the moment.
    """

    def pixels() -> Pixels:
        with _opened(content, max_megapixels) as image:
            loaded = _loaded(image, content)
            return rgb(loaded, _orientation(loaded))

    return _twice(pixels)


def inspect(content: bytes, max_megapixels: float = MEGAPIXELS) -> Inspection:
    """Size, format and hash of a photo, read to its end; a JPEG is decoded at an eighth of its size. Raises as `decode` does."""

    def inspection() -> Inspection:
        with _opened(content, max_megapixels) as image:
            kind, mode, (width, height) = image.format or "", image.mode, image.size
            loaded = _loaded(image, content, (HASH_WIDTH * 8, HASH_HEIGHT * 8) if kind == "JPEG" else None)
            orientation = _orientation(loaded)
            if orientation in SIDEWAYS:
                width, height = height, width
            return Inspection(kind, width, height, mode, _difference_hash(rgb(loaded, orientation)))

    return _twice(inspection)


def _twice(read: Callable[[], T]) -> T:
    """The result of `read`, which is called again where it finds broken bytes: libraries report a lack of memory so, too, and by the time
    that memory is examined other threads may have freed theirs. Broken bytes stay broken."""
    try:
        return read()
    except UnusablePhoto as error:
        if error.is_certain:
            raise
    with _one_again:
        return read()


@contextmanager
def _opened(content: bytes, max_megapixels: float) -> Iterator[ImageFile.ImageFile]:
    """Opens a photo and checks its header against the limits. Large photos are opened one at a time."""
    try:
        image = _open(content, max_megapixels)
        with _one_large if image.width * image.height > LARGE else nullcontext():
            yield image
    except UnusablePhoto:
        raise
    except BROKEN as error:
        sentence = str(error).lower()
        if "out of memory" in sentence or ("memory allocation error" in sentence and "security limit" not in sentence):
            raise MemoryError(str(error)) from error
        reason = "truncated" if any(word in sentence for word in ("truncated", "eof", "end of file")) else f"broken image ({_short(error)})"
        raise UnusablePhoto(reason, is_certain=False) from error


def _open(content: bytes, max_megapixels: float) -> ImageFile.ImageFile:
    """Opens by the file's first bytes. Image.open has a limit on pixels for the whole process, which would come before ours."""
    kind = reader_of(content)
    if kind is None:
        raise UnusablePhoto(description_of(content))
    if kind == "WEBP":
        width, height = webp_size(content)
        _require_size(width, height, max_megapixels)
        _require_memory(width, height)  # its reader allocates it at once, and reports a lack of it as a broken file
    image = READERS[kind](io.BytesIO(essential(content) if kind == "PNG" else content))
    _require_size(*image.size, max_megapixels)
    if isinstance(image, TiffImagePlugin.TiffImageFile) and (image.tag_v2.get(REDUCED, 0) & 1 or DNG in image.tag_v2):
        raise UnusablePhoto(RAW)
    if image.mode == "F":
        raise UnusablePhoto(f"pixels are floating-point numbers: {EXPORT}")
    return image


def _require_size(width: int, height: int, max_megapixels: float) -> None:
    megapixels = width * height / 1e6
    if megapixels > max_megapixels:
        raise UnusablePhoto.too_large(megapixels, max_megapixels)
    if min(width, height) < SHORTEST_SIDE:
        raise UnusablePhoto(f"too small: {width}x{height} pixels")


def _require_memory(width: int, height: int) -> None:
    """Raises MemoryError where memory is too small for a photo of that size."""
    np.empty(BYTES_A_PIXEL * width * height, np.uint8)


def _loaded(image: ImageFile.ImageFile, content: bytes, reduced: tuple[int, int] | None = None) -> ImageFile.ImageFile:
    """Loads the pixels, by which damage is detected; a JPEG at about the size `reduced`, where given.

    A JPEG without its end is accepted where little is missing.
    """
    size = image.size
    try:
        return _load(image, reduced)
    except (OSError, RuntimeError) as error:
        _require_memory(*size)  # libjpeg reports a lack of it as a broken stream
        if image.format != "JPEG" or "truncated" not in str(error) or not all_scans_began(content):
            raise
    whole = _load(READERS["JPEG"](io.BytesIO(content + END)), reduced)
    if lacks_rows(whole):
        raise UnusablePhoto("truncated", is_certain=False)
    return whole


def _load(image: ImageFile.ImageFile, reduced: tuple[int, int] | None) -> ImageFile.ImageFile:
    if reduced:
        image.draft(None, reduced)
    image.load()
    return image


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation; 1, upright, without one and for broken EXIF, which affects no pixel."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except BROKEN:
        return 1


def _short(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:80] or type(error).__name__


def _difference_hash(pixels: Pixels) -> int:
    """dHash (https://www.hackerfactor.com/blog/index.php?/archives/529-Kind-of-Like-That.html): a bit for each brighter neighbour."""
    grey = Image.fromarray(pixels).convert("L")
    small = np.asarray(grey.resize((HASH_WIDTH, HASH_HEIGHT), Image.Resampling.BILINEAR)).astype(np.int16)
    return int.from_bytes(np.packbits(small[:, 1:] > small[:, :-1]).tobytes(), "big")
