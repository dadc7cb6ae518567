"""Inspection of files of starting weights before they are read: content, size, and that all data is in the file itself."""

import math
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

from face_assets.core.errors import UserError
from face_assets.core.identifiers import quoted

ZIP = b"PK\x03\x04"
END, LOCATOR, END_64 = struct.Struct("<4s8x2LH"), struct.Struct("<4s4xQ4x"), struct.Struct("<4s36x2Q")
"""End of a zip file's directory (size, beginning, length of the comment), the locator of its 64-bit form, and that form."""
MOST_BYTES = 2_000_000_000  # a Keras facenet with its optimizer's state, in double precision, has 0.6 GB
MOST_PARTS = 20_000
BROKEN = (OSError, RuntimeError, KeyError, ValueError, TypeError)  # raised by h5py on inconsistent bytes
FILTERS = {1, 2, 3, 32000}  # gzip, shuffle, Fletcher32, LZF; others load plugins (HDF5's registered filters)


def require_harmless(path: Path) -> None:
    """Raises UserError if a file of weights refers to other files, or needs more memory than any weights of this network."""
    if path.stat().st_size > MOST_BYTES:
        raise _unsafe(path, f"it is longer than {MOST_BYTES:,} bytes")
    if is_hdf5(path):
        _require_own_data(path)
    elif _begins_as_zip(path):
        _require_stored(path)


def is_hdf5(path: Path) -> bool:
    """True if the file has the signature of HDF5, which may follow a user block."""
    import h5py

    return bool(h5py.is_hdf5(path))


def _begins_as_zip(path: Path) -> bool:
    """True if torch.load treats the file as an archive."""
    with open(path, "rb") as file:
        return file.read(len(ZIP)) == ZIP


def _require_stored(path: Path) -> None:
    """Raises UserError if an archive has compressed parts, of which torch.save makes none and whose size has no bound."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
        is_whole = _has_one_directory(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error):
        is_whole = False
    if not is_whole:
        raise UserError(f"embedder.weights: {path} ends too early, or is no archive as torch.save writes it: copy it again.")
    packed = [part.filename for part in parts if part.compress_type != zipfile.ZIP_STORED]
    if packed:
        raise _unsafe(path, f"its part {quoted(packed[0])} is compressed")
    if len(parts) > MOST_PARTS or sum(part.file_size for part in parts) > MOST_BYTES:
        raise _unsafe(path, f"it has more than {MOST_PARTS:,} parts, or {MOST_BYTES:,} bytes in them")


def _has_one_directory(path: Path) -> bool:
    """True if the directory of the archive begins and ends where it states (APPNOTE.TXT 4.3).

    Python finds a directory by its end and torch by its beginning: otherwise torch could read another one than the inspected."""
    with open(path, "rb") as file:
        ends = file.seek(0, os.SEEK_END) - END.size
        file.seek(ends)
        signature, size, begins, comment = END.unpack(file.read())
        file.seek(max(0, ends - LOCATOR.size))
        locator, at = LOCATOR.unpack(file.read(LOCATOR.size))
        if locator == b"PK\6\7":
            ends -= LOCATOR.size + END_64.size
            file.seek(ends)
            signature_64, size, begins = END_64.unpack(file.read(END_64.size))
            if at != ends or signature_64 != b"PK\6\6":
                return False
    return signature == b"PK\5\6" and not comment and begins + size == ends


def _require_own_data(path: Path) -> None:
    """Raises UserError if an HDF5 file has links, external or virtual datasets, or states too large sizes."""
    import h5py

    total = parts = 0

    def visit(name: str, link: Any) -> str | None:  # h5py handles no exceptions here; a returned value ends the visit
        try:
            return reason_against(name, link)
        except BROKEN as error:
            return f"its part {quoted(name)} cannot be read ({type(error).__name__})"

    def reason_against(name: str, link: Any) -> str | None:
        nonlocal total, parts
        parts += 1
        if not isinstance(link, h5py.HardLink):
            return f"its part {quoted(name)} is a link to another place"
        part = file.get(name)
        if isinstance(part, h5py.Dataset):
            total += max(int(part.size or 0), math.prod(part.chunks or ())) * int(part.dtype.itemsize)
            if part.dtype.hasobject:
                return f"its part {quoted(name)} holds texts or references of any length"
            if part.external or part.is_virtual:
                return f"its part {quoted(name)} lies in other files"
            if not _filters(part) <= FILTERS:
                return f"its part {quoted(name)} is packed by a plugin"
        too_much = parts > MOST_PARTS or total > MOST_BYTES
        return f"it has more than {MOST_PARTS:,} parts, or takes more than {MOST_BYTES:,} bytes of memory" if too_much else None

    try:
        with h5py.File(path, "r") as file:
            reason = file.visititems_links(visit)
    except BROKEN as error:
        words = " ".join(str(error).split())[:200]
        raise UserError(f"embedder.weights: {path} cannot be read as HDF5 ({words}): copy it again.") from error
    if reason:
        raise _unsafe(path, reason)


def _filters(dataset: Any) -> set[int]:
    properties = dataset.id.get_create_plist()
    return {properties.get_filter(number)[0] for number in range(properties.get_nfilters())}


def _unsafe(path: Path, what: str) -> UserError:
    return UserError(f"embedder.weights: {path} is not read, for {what}: save the model's own weights in one plain file.")
