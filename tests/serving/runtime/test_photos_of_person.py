"""Several photos in one element of a request: what was packed comes back, and anything else has a sentence."""

import pytest

from face_assets.dataset.decoding import UnusablePhoto
from face_assets.serving.runtime.photos_of_person import HEADER, LENGTH, MOST_PHOTOS, pack_photos, unpack_photos


@pytest.mark.parametrize("photos", [[b""], [b"one"], [b"one", b""], [b"one", HEADER, b"three"], [b"x"] * MOST_PHOTOS])
def test_packed_photos_come_back(photos: list[bytes]) -> None:
    assert unpack_photos(pack_photos(photos)) == photos


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (HEADER, "no photo"),
        (HEADER + b"\x01\x00", "photo 1 of one person is truncated"),
        (HEADER + LENGTH.pack(2**32 - 1) + b"x", "photo 1 of one person is truncated"),
        (pack_photos([b"one", b"two"])[:-1], "photo 2 of one person is truncated"),
        (HEADER + LENGTH.pack(0) * (MOST_PHOTOS + 1), "more than 16 photos"),
    ],
)
def test_anything_else_has_a_sentence(content: bytes, reason: str) -> None:
    with pytest.raises(UnusablePhoto) as raised:
        unpack_photos(content)
    assert reason in raised.value.reason
