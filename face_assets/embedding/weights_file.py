"""Files of starting weights, looked through before they are read: what they hold, how much, and that it lies in the file itself."""

import math
import zipfile
from pathlib import Path
from typing import Any

from face_assets.core.errors import UserError
from face_assets.core.identifiers import shown

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
MOST_BYTES = 2_000_000_000  # a Keras facenet with its optimizer's state, in double precision, has 0.6 GB
MOST_PARTS = 20_000
FILTERS = {1, 2, 3, 32000}  # gzip, shuffle, Fletcher's checksum, LZF: others are programs of plugins (HDF5's registered filters)


def require_harmless(path: Path) -> None:
    """Raises UserError where a file of weights reaches for other files, or would take more memory than any weights of this network."""
    if path.stat().st_size > MOST_BYTES:
        raise _refused(path, f"it is longer than {MOST_BYTES:,} bytes")
    with open(path, "rb") as file:
        is_hdf5 = file.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE
    if is_hdf5:
        _require_own_data(path)
    elif zipfile.is_zipfile(path):
        _require_stored(path)


def _require_stored(path: Path) -> None:
    """torch.save stores its parts as they are; whatever is compressed may be any number of times as large."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return  # the loader says what is wrong with it
    packed = [part.filename for part in parts if part.compress_type != zipfile.ZIP_STORED]
    if packed:
        raise _refused(path, f"its part {shown(packed[0])} is compressed")
    if len(parts) > MOST_PARTS or sum(part.file_size for part in parts) > MOST_BYTES:
        raise _refused(path, f"it has more than {MOST_PARTS:,} parts, or {MOST_BYTES:,} bytes in them")


def _require_own_data(path: Path) -> None:
    """HDF5 may keep a dataset in other files, also by links, map it together from parts of them, and state sizes that no file has."""
    import h5py

    total = parts = 0

    def reason_against(name: str, link: Any) -> str | None:  # raising here would confuse h5py; what is returned ends the visit
        nonlocal total, parts
        parts += 1
        if not isinstance(link, h5py.HardLink):
            return f"its part {shown(name)} is a link to another place"
        part = file.get(name)
        if isinstance(part, h5py.Dataset):
            total += max(int(part.size or 0), math.prod(part.chunks or ())) * int(part.dtype.itemsize)
            if part.external or part.is_virtual:
                return f"its part {shown(name)} lies in other files"
            if not _filters(part) <= FILTERS:
                return f"its part {shown(name)} is packed by a plugin"
        too_much = parts > MOST_PARTS or total > MOST_BYTES
        return f"it has more than {MOST_PARTS:,} parts, or takes more than {MOST_BYTES:,} bytes of memory" if too_much else None

    try:
        with h5py.File(path, "r") as file:
            reason = file.visititems_links(reason_against)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError):
        return  # a torn file: the loader says so
    if reason:
        raise _refused(path, reason)


def _filters(dataset: Any) -> set[int]:
    properties = dataset.id.get_create_plist()
    return {properties.get_filter(number)[0] for number in range(properties.get_nfilters())}


def _refused(path: Path, what: str) -> UserError:
    return UserError(f"embedder.weights: {path} is not read, for {what}: save the model's own weights in one plain file.")
