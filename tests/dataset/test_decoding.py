"""Decoding: every kind of image that a camera or a careless tool writes, and every kind of damage."""

import io
import re
import struct
import subprocess
import sys
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pillow_heif
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile, PngImagePlugin

from face_assets.dataset import rgb
from face_assets.dataset.decoding import MEGAPIXELS, UnusablePhoto, decode, inspect
from face_assets.demo.synthetic import draw

BEGINNINGS = [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"GIF89a", b"II*\0", b"MM\0*", b"\0\0\0\x18ftypavif", b"BM"]
BEGINNINGS += [b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"]
pillow_heif.register_heif_opener()  # so that Pillow writes HEIC here


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
        (b"some text", "text, no photo"),
        (b"\x01\x02\x03", "no image of a format that is read here"),
        (bytes(500), "not copied whole"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "broken image"),
        (encoded(draw(0, 0), "HEIF")[:3000], "truncated"),
        (encoded(draw(0, 0), "JPEG2000")[:-100], "broken image"),
        (encoded(draw(0, 0), "JPEG2000", no_jp2=True)[:3000], "broken image"),
        (encoded(Image.new("RGB", (60, 8)), "HEIF"), "too small"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "Git LFS"),
        (b"outs:\n- md5: 0\n  path: 1.jpg\n", "pointer of DVC"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html>\n<html><svg></svg></html>", "HTML page"),
        (b"<?xml version='1.0'?><!-- drawn --><svg xmlns='x'/>", "SVG drawing"),
        (b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>", "XML file"),
        (b"%PDF-1.7", "PDF"),
        (b"PK\x03\x04", "archive"),
        (b"II*\0\x10\0\0\0CR\x02\0", "RAW file of a camera"),
        (b"FUJIFILMCCD-RAW 0201", "RAW file of a camera"),
        (encoded(Image.new("RGB", (60, 60)), "TIFF", tiffinfo={254: 1}), "RAW file of a camera"),
        (encoded(Image.new("F", (60, 60)), "TIFF"), "floating-point"),
        (b"\0\0\0\x14ftypqt  ", "video"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "video"),
        (encoded(Image.new("RGB", (60, 8)), "PNG"), "too small"),
        (encoded(draw(0, 0), "JPEG")[:3000], "truncated"),
        (encoded(draw(0, 0), "PNG")[:30000], "truncated"),
    ],
)
def test_what_cannot_be_used_says_why(content: bytes, reason: str) -> None:
    for use in (decode, inspect):
        with pytest.raises(UnusablePhoto) as raised:
            use(content)
        assert reason in raised.value.reason


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "AVIF", "WEBP", "PNG", "HEIF", "JPEG2000"])
def test_other_formats_and_the_first_picture_of_several_are_read(photo: Image.Image, kind: str) -> None:
    several = {} if kind in ("BMP", "JPEG2000") else {"save_all": True, "append_images": [draw(0, 1)]}
    for options in ({}, several):
        found = decode(encoded(photo, kind, **options))
        assert np.abs(found.astype(int) - np.asarray(photo)).mean() < 6
        assert inspect(encoded(photo, kind, **options)).format == kind


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_photo_of_a_phone_is_set_upright_once(photo: Image.Image, orientation: int) -> None:
    wide, exif = photo.crop((0, 0, 250, 200)), Image.Exif()
    exif[0x0112] = orientation
    undo = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    stored = wide.transpose(undo[orientation]) if orientation in undo else wide
    content = encoded(stored, "HEIF", quality=95, exif=exif.tobytes())
    assert np.abs(decode(content).astype(int) - np.asarray(wide)).mean() < 6
    assert (inspect(content).width, inspect(content).height) == (250, 200)


def test_a_header_of_heic_that_lies_about_its_size_gets_no_more_memory() -> None:
    content = encoded(Image.new("RGB", (600, 600)), "HEIF")
    size = content.index(b"ispe") + 8
    with pytest.raises(UnusablePhoto, match="Security limit"):
        decode(content[:size] + struct.pack(">II", 100, 100) + content[size + 8 :])
    with pytest.raises(UnusablePhoto, match="megapixels"):
        decode(content, max_megapixels=0.35)


def chunk(kind: bytes, data: bytes, checksum: int | None = None) -> bytes:
    right = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", right if checksum is None else checksum)


BOMB = zlib.compress(b"x" * 50_000_000, 9)


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"zTXt", b"comment\0\0" + BOMB),
        chunk(b"zTXt", b"Raw profile type exif\0\0" + BOMB),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\x01\0\0\0" + BOMB),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b"x" * 3_000_000),
        chunk(b"iCCP", b"profile\0\0" + BOMB),
        chunk(b"iCCP", b"profile\0\x07broken"),
        chunk(b"gAMA", b"\0\0\xb1\x8f", checksum=1),
        chunk(b"gAMA", b"\0"),
        chunk(b"tIME", b"odd", checksum=1),
        chunk(b"fcTL", b"short"),
        chunk(b"tEXt", b"a\0b") * 5000,
    ],
)
@pytest.mark.parametrize("after_the_pixels", [False, True])
def test_what_does_not_matter_to_the_pixels_of_a_png_spoils_none(photo: Image.Image, extra: bytes, after_the_pixels: bool) -> None:
    plain = encoded(photo, "PNG")
    at = len(plain) - 12 if after_the_pixels else 33
    tracemalloc.start()
    try:
        assert np.array_equal(decode(plain[:at] + extra + plain[at:]), np.asarray(photo))
        assert tracemalloc.get_traced_memory()[1] < 40_000_000, "a bomb is not unpacked"
    finally:
        tracemalloc.stop()


def test_a_png_is_turned_by_its_exif_and_its_xmp(photo: Image.Image) -> None:
    stored, exif = photo.crop((0, 0, 250, 200)).transpose(Image.Transpose.ROTATE_90), Image.Exif()
    exif[0x0112] = 6
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", '<x:xmpmeta tiff:Orientation="6"/>', zip=True)
    for options in ({"exif": exif}, {"pnginfo": texts}):
        assert decode(encoded(stored, "PNG", **options)).shape == (200, 250, 3)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_without_its_end_is_taken_and_one_that_lacks_much_is_not(photo: Image.Image, progressive: bool) -> None:
    content = encoded(photo, "JPEG", quality=95, progressive=progressive)
    for missing in (1, 2, 20, len(content) // 100):
        for use in (decode, inspect):
            use(content[:-missing])
        assert np.abs(decode(content[:-missing]).astype(int) - np.asarray(photo)).mean() < 6
    assert np.array_equal(decode(content[:-2]), decode(content)) and np.array_equal(decode(content + b"more"), decode(content))
    for share in (0.6, 0.8) if progressive else (0.15, 0.3, 0.5, 0.8):
        with pytest.raises(UnusablePhoto, match="truncated"):
            decode(content[: int(len(content) * (1 - share))])


def test_a_progressive_jpeg_whose_last_scans_never_began_is_refused(photo: Image.Image) -> None:
    content = encoded(photo, "JPEG", quality=95, progressive=True)
    scans = [match.start() for match in re.finditer(b"\xff\xda", content)]
    assert len(scans) > 5
    with pytest.raises(UnusablePhoto, match="truncated"):
        decode(content[: scans[-1] - 10])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "I;16"])
def test_a_large_photo_is_converted_by_rows_as_a_small_one_at_once(
    photo: Image.Image, orientation: int, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    wide = photo.crop((0, 0, 250, 203))
    image = Image.fromarray(np.asarray(wide.convert("L")).astype(np.uint16) * 250) if mode == "I;16" else wide.convert(mode)
    content = encoded(image, "PNG", exif=exif)
    at_once = decode(content)
    monkeypatch.setattr(rgb, "AT_ONCE", 5000)
    assert np.array_equal(decode(content), at_once)


TOO_LITTLE = """
import resource, sys
from face_assets.dataset.decoding import decode
content = sys.stdin.buffer.read()
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 30_000_000,) * 2)
try:
    decode(content)
except MemoryError:
    print("MemoryError")
"""


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "AVIF"])
def test_too_little_memory_is_no_verdict_on_a_photo(kind: str) -> None:
    options: dict[str, dict[str, Any]] = {"JPEG": {"progressive": True}, "AVIF": {"speed": 10}, "WEBP": {"method": 0}}
    content = encoded(Image.new("RGB", (4000, 3500), "teal"), kind, **options.get(kind, {}))
    done = subprocess.run([sys.executable, "-c", TOO_LITTLE], input=content, capture_output=True, check=False)
    assert done.stdout == b"MemoryError\n", done.stderr.decode()


@pytest.mark.parametrize("use", [decode, inspect])
@pytest.mark.parametrize("trouble", [OSError("broken data stream when reading image file"), OSError(-2), RuntimeError("decode failed")])
def test_a_moment_without_memory_is_no_verdict_on_a_photo(
    photo: Image.Image, use: Callable[[bytes], object], trouble: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow's codecs report an allocation that fails as broken bytes; a moment later another thread has freed its memory."""
    content = encoded(photo, "JPEG")
    load, left = ImageFile.ImageFile.load, [trouble]

    def fails_once(image: ImageFile.ImageFile) -> object:
        if left:
            raise left.pop()
        return load(image)

    whole = use(content)
    monkeypatch.setattr(ImageFile.ImageFile, "load", fails_once)
    assert np.array_equal(use(content), whole) if use is decode else use(content) == whole  # type: ignore[arg-type]
    assert not left


@given(st.binary(max_size=3000), st.sampled_from([b"", *BEGINNINGS]))
def test_bytes_of_strangers_are_a_photo_or_a_sentence(content: bytes, begins: bytes) -> None:
    for use in (decode, inspect):
        try:
            use(begins + content)
        except UnusablePhoto as error:
            assert error.reason.isprintable()


def test_a_decompression_bomb_is_refused_by_our_own_limit_and_a_wide_photo_is_not() -> None:
    bomb = encoded(Image.new("1", (20_000, 20_000)), "PNG")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UnusablePhoto, match=r"400\.0 megapixels, more than 100\.0"):
            decode(bomb)
        assert decode(encoded(Image.new("1", (20_000, 100)), "PNG")).shape == (100, 20_000, 3)


@pytest.mark.parametrize("limit", [MEGAPIXELS, 180.0])
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
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60, 60, 16, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress((b"\0" + b"\xff\xff" * 60) * 60))
    content = b"\x89PNG\r\n\x1a\n" + header + chunk(b"tRNS", b"\xff\xff") + pixels + chunk(b"IEND", b"")
    assert (decode(content) == 128).all()


def test_damage_never_raises_anything_else(photo: Image.Image) -> None:
    random = np.random.default_rng(0)
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"):
        content = encoded(photo, kind)
        for _ in range(40):
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
