"""Several photos of one person as one element of a request, so that a request keeps the one input IMAGE, which a whole body may be.

The element is HEADER, and then each photo after its length in four bytes, little-endian, as Triton itself serializes bytes.
"""

import struct
from collections.abc import Sequence

from face_assets.dataset.decoding import UnusablePhoto

HEADER = b"photos of one person\n"
"""No photo begins so."""
MOST_PHOTOS = 16
LENGTH = struct.Struct("<I")


def pack_photos(photos: Sequence[bytes]) -> bytes:
    """Returns the element for encoded photos; a photo alone is its own element."""
    return photos[0] if len(photos) == 1 else HEADER + b"".join(LENGTH.pack(len(photo)) + photo for photo in photos)


def unpack_photos(content: bytes) -> list[bytes]:
    """Returns the encoded photos of an element. Raises UnusablePhoto."""
    if not content.startswith(HEADER):
        return [content]
    photos: list[bytes] = []
    place = len(HEADER)
    while place < len(content):
        if len(photos) == MOST_PHOTOS:
            raise UnusablePhoto(f"more than {MOST_PHOTOS} photos of one person")
        begin = place + LENGTH.size
        place = begin + LENGTH.unpack_from(content, place)[0] if begin <= len(content) else begin
        if place > len(content):
            raise UnusablePhoto(f"photo {len(photos) + 1} of one person is truncated")
        photos.append(content[begin:place])
    if not photos:
        raise UnusablePhoto("no photo of the person")
    return photos
