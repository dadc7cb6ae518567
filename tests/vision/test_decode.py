"""Decoding: every kind of image that a camera or a careless tool writes, and every kind of damage."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from face_assets.dataset.synthetic import draw
from face_assets.vision.decode import MEGAPIXELS, UnusablePhoto, decode, inspect


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    output = io.BytesIO()
    image.save(output, kind, **options)
    return output.getvalue()


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return draw(0, 0)


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {"quality": 95}), ("PNG", {}), ("WEBP", {"quality": 95}), ("MPO", {"quality": 95})])
def test_the_formats_of_photos_are_read(photo: Image.Image, kind: str, options: dict[str, object]) -> None:
    found = decode(encoded(photo, kind, **options))
    assert found.shape == (250, 250, 3)
    assert np.abs(found.astype(int) - np.asarray(photo)).mean() < 6


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "LA", "RGBA"])
def test_other_modes_become_rgb(photo: Image.Image, mode: str) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    found = decode(encoded(photo.convert(mode), kind))
    assert found.shape == (250, 250, 3)
    assert np.abs(found.mean(axis=2) - np.asarray(photo).mean(axis=2)).mean() < 25


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    grey = Image.fromarray(np.full((60, 60), 32768, np.uint16))
    assert abs(int(decode(encoded(grey, "PNG")).mean()) - 128) <= 1


def test_colours_under_full_transparency_do_not_show() -> None:
    hidden = np.zeros((60, 60, 4), np.uint8)
    hidden[..., 0] = 255
    assert (decode(encoded(Image.fromarray(hidden), "PNG")) == 128).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_photo_upright(photo: Image.Image, orientation: int) -> None:
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    wide = photo.crop((0, 0, 250, 200))
    stored = wide if orientation == 1 else wide.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(stored, "JPEG", quality=95, exif=exif)
    assert decode(content).shape == (200, 250, 3)
    assert np.abs(decode(content).astype(int) - np.asarray(wide)).mean() < 6
    assert (inspect(content).width, inspect(content).height) == (250, 200)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"some text", "not a JPEG, PNG or WebP image"),
        (encoded(Image.new("RGB", (60, 60)), "GIF"), "not a JPEG, PNG or WebP image"),
        (encoded(Image.new("RGB", (60, 60)), "BMP"), "not a JPEG, PNG or WebP image"),
        (encoded(Image.new("RGB", (60, 8)), "PNG"), "too small"),
        (encoded(draw(0, 0), "JPEG")[:3000], "truncated"),
        (encoded(draw(0, 0), "PNG")[:30000], "truncated"),
        (encoded(draw(0, 0), "WEBP", save_all=True, append_images=[draw(0, 1)]), "animated"),
        (encoded(draw(0, 0), "PNG", save_all=True, append_images=[draw(0, 1)]), "animated"),
    ],
)
def test_what_cannot_be_used_says_why(content: bytes, reason: str) -> None:
    for use in (decode, inspect):
        with pytest.raises(UnusablePhoto) as raised:
            use(content)
        assert reason in raised.value.reason


def test_a_decompression_bomb_is_refused_by_our_own_limit_and_a_wide_photo_is_not() -> None:
    bomb = encoded(Image.new("1", (20_000, 20_000)), "PNG")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UnusablePhoto, match=r"400\.0 megapixels, more than 100\.0"):
            decode(bomb)
        assert decode(encoded(Image.new("1", (20_000, 100)), "PNG")).shape == (100, 20_000, 3)


@pytest.mark.parametrize("limit", [MEGAPIXELS, 250.0])
def test_the_limit_is_ours_alone_whatever_pillow_warns_of(limit: float) -> None:
    pixels = int(limit * 1e6) // 10_000 - 100
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        content = encoded(Image.new("1", (10_000, pixels)), "PNG")
        assert inspect(content, limit).height == pixels


def test_a_webp_bomb_says_its_size() -> None:
    header = b"VP8X" + struct.pack("<IB3x", 10, 0) + (16_000 - 1).to_bytes(3, "little") * 2
    with pytest.raises(UnusablePhoto, match=r"256\.0 megapixels, more than 100\.0"):
        decode(b"RIFF" + struct.pack("<I", len(header) + 4) + b"WEBP" + header)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_broken_exif_spoils_no_photo(photo: Image.Image, kind: str) -> None:
    content = encoded(photo, kind, exif=b"Exif\0\0neither a TIFF file nor anything else")
    assert decode(content).shape == (250, 250, 3)
    assert inspect(content).width == 250


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("size", [(599, 600), (600, 599)])
def test_the_size_of_a_photo_that_is_nearly_square(photo: Image.Image, size: tuple[int, int], orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(photo.resize(size), "JPEG", exif=exif)
    found = inspect(content)
    assert decode(content).shape == (found.height, found.width, 3)


def test_a_hidden_colour_of_sixteen_bits_does_not_show() -> None:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60, 60, 16, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress((b"\0" + b"\xff\xff" * 60) * 60))
    content = b"\x89PNG\r\n\x1a\n" + header + chunk(b"tRNS", b"\xff\xff") + pixels + chunk(b"IEND", b"")
    assert (decode(content) == 128).all()


def test_damage_never_raises_anything_else(photo: Image.Image) -> None:
    random = np.random.default_rng(0)
    for content in (encoded(photo, "JPEG"), encoded(photo, "PNG"), encoded(photo, "WEBP")):
        for _ in range(60):
            damaged = bytearray(content)
            for place in random.integers(len(damaged), size=8):
                damaged[place] = int(random.integers(256))
            for use in (decode, inspect):
                try:
                    use(bytes(damaged))
                except UnusablePhoto as error:
                    assert error.reason


def test_hashes_of_one_picture_are_near(photo: Image.Image) -> None:
    one, other = (inspect(encoded(photo, "JPEG", quality=quality)).hash for quality in (95, 60))
    assert (one ^ other).bit_count() <= 3
