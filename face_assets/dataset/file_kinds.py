"""The kind of a file by its first bytes: its reader, or a description where no reader takes it."""

import re

LEAD = 4096  # bytes that are looked into
NOT_READ = "no image of a format that is read here (JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, HEIC, JPEG 2000)"
EXPORT = "export it as JPEG"
RAW = f"RAW file of a camera: {EXPORT}"
NOW_READ = (f"HEIC image: {EXPORT}", f"JPEG 2000 image: {EXPORT}")
"""Reasons by which earlier versions refused formats that are read now: a photo with one in a store is looked at once more."""
READERS = [
    ("JPEG", re.compile(rb"\xff\xd8\xff")),
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("WEBP", re.compile(rb"RIFF.{4}WEBP", re.DOTALL)),
    ("GIF", re.compile(rb"GIF8[79]a")),
    ("BMP", re.compile(rb"BM.{8}.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL)),
    ("AVIF", re.compile(rb"....ftyp(?:avi[fs]|mi(?:f1|af).{4,40}avif)", re.DOTALL)),
    ("HEIF", re.compile(rb"....ftyp(?:hei|hev|mif1|msf1)", re.DOTALL)),
    ("JPEG2000", re.compile(rb"\0\0\0\x0cjP {2}|\xff\x4f\xff\x51")),
    ("TIFF", re.compile(rb"II[\x2a\x2b]\0(?!.{4}CR)|MM\0[\x2a\x2b]", re.DOTALL)),
]
OTHERS = [
    (re.compile(rb"....ftypcrx|II\x2a\0.{4}CR|IIR[OS]|MMOR|IIU\0|FUJIFILMCCD-RAW|FOVb|\0MRM", re.DOTALL), RAW),
    (re.compile(rb"\0\0\0\x0cJXL |\xff\x0a"), f"JPEG XL image: {EXPORT}"),
    (re.compile(rb"8BPS"), f"Photoshop document: {EXPORT}"),
    (re.compile(rb"....ftyp|RIFF....AVI |\x1a\x45\xdf\xa3|\0\0\x01[\xb3\xba]|FLV|....moov|....mdat", re.DOTALL), "video, no photo"),
    (re.compile(rb"version https://git-lfs\.github\.com/"), "pointer of Git LFS, not the photo: `git lfs pull`, then add the photo again"),
    (re.compile(rb"outs:\s*\n?- md5:"), "pointer of DVC, not the photo: `dvc pull`, then add the photo again"),
    (re.compile(rb"\s*(?=<).*?<(?:!doctype html|html|head|body)[\s>]", re.DOTALL | re.IGNORECASE), "HTML page, no photo"),
    (re.compile(rb"\s*(?=<).*?<svg[\s>]", re.DOTALL | re.IGNORECASE), "SVG drawing, no photo"),
    (re.compile(rb"\s*<(?:\?xml|x:xmpmeta)"), "XML file, no photo"),
    (re.compile(rb"%PDF-"), "PDF document, no photo"),
    (re.compile(rb"PK(?:\x03\x04|\x05\x06)|\x1f\x8b|7z\xbc\xaf|Rar!|BZh|\xfd7zXZ"), "archive, no photo"),
    (re.compile(rb"\0+\Z"), "zero bytes alone: the file was not copied whole"),
    (re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]+\Z"), "text, no photo"),
]


def reader_of(content: bytes) -> str | None:
    """Pillow's name of the format; None for a kind that is not read."""
    return next((name for name, begins in READERS if begins.match(content[:LEAD])), None)


def description_of(content: bytes) -> str:
    """Short description of a file without a reader."""
    if not content:
        return "empty file"
    lead = content[:LEAD].removeprefix(b"\xef\xbb\xbf")
    return next((words for begins, words in OTHERS if begins.match(lead)), NOT_READ)
