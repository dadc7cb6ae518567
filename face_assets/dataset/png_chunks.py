"""Removal of the PNG chunks that do not affect pixels: texts, profiles, frames of an animation, and chunks with a wrong checksum.

Pillow rejects the whole picture for one of them that is long or damaged, which viewers skip (https://www.w3.org/TR/png-3/#13).
"""

import struct
import zlib
from collections.abc import Iterator

SIGNATURE = 8
OF_PIXELS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
OF_TRANSPARENCY = b"tRNS"
OF_ORIENTATION = (b"eXIf", b"iTXt", b"zTXt", b"tEXt")
KEYS = (b"XML:com.adobe.xmp", b"Raw profile type exif", b"exif")
LARGEST_TEXT = 1 << 20  # bytes, unpacked: Pillow's own limit


def essential(content: bytes) -> bytes:
    """The PNG with only the chunks that determine its pixels and orientation; `content` itself where it has no others."""
    chunks = list(_chunks(content))
    kept: list[tuple[int, int]] = []
    texts: set[bytes] = set()
    for kind, start, end in chunks:
        if kind in OF_PIXELS:
            kept.append((start, end))
        elif kind == OF_TRANSPARENCY or (kind in OF_ORIENTATION and kind not in texts):
            data = content[start + 8 : end - 4]
            if _is_right(kind, data, content[end - 4 : end]) and (kind == OF_TRANSPARENCY or _has_orientation(kind, data)):
                kept.append((start, end))
                texts.add(kind)
    if len(kept) == len(chunks):
        return content
    return content[:SIGNATURE] + b"".join(memoryview(content)[start:end] for start, end in kept)


def _chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yields each chunk's kind, start and end, up to the picture's end; the last may be cut."""
    at = SIGNATURE
    while at + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        yield kind, at, min(at + 12 + length, len(content))
        at += 12 + length
        if kind == b"IEND":
            return


def _is_right(kind: bytes, data: bytes, checksum: bytes) -> bool:
    return zlib.crc32(data, zlib.crc32(kind)).to_bytes(4, "big") == checksum


def _has_orientation(kind: bytes, data: bytes) -> bool:
    """True for a chunk that may contain the orientation, and unpacks to at most LARGEST_TEXT."""
    if kind == b"eXIf":
        return True
    key, _, rest = data.partition(b"\0")
    if key not in KEYS:
        return False
    if kind == b"zTXt":
        return _unpacks(rest[1:])
    return kind == b"tEXt" or rest[:1] == b"\0" or _unpacks(rest[2:].split(b"\0", 2)[-1])


def _unpacks(packed: bytes) -> bool:
    try:
        return len(zlib.decompressobj().decompress(packed, LARGEST_TEXT + 1)) <= LARGEST_TEXT
    except zlib.error:
        return False
