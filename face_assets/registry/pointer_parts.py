"""Folders that several pointers track, such as photos/2024.dvc and photos/2025.dvc: one folder of people, in parts.

A part is named by its pointer without the suffix, `photos/2024`. It lists paths below the part, PERSON/PHOTO, and a person may have photos
in several parts. The folder lists the photos of all parts, so no two parts may list one path.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np

from face_assets.core.errors import UserError
from face_assets.core.identifiers import quoted
from face_assets.core.rows import Rows
from face_assets.registry.listing import TrackedFile
from face_assets.registry.pointer import Pointer

FOLDERS = ("photos", "gallery")
"""The folders that may have parts."""
Listings = Mapping[str, Sequence[TrackedFile]]
SHOWN = 3


def whole(name: str, parts: Mapping[str, Pointer]) -> Pointer:
    """The pointer of a folder. Of several parts, its md5 is a digest of theirs and no object of DVC."""
    if set(parts) == {name}:
        return parts[name]
    digest = hashlib.md5("".join(f"{part} {one.md5}\n" for part, one in sorted(parts.items())).encode(), usedforsecurity=False)
    sizes, files = [one.size for one in parts.values()], [one.files for one in parts.values()]
    not_pushed = next((one.not_pushed for one in parts.values() if one.not_pushed), None)
    return Pointer(digest.hexdigest(), _sum(sizes), _sum(files), name, next(iter(parts.values())).remote, not_pushed)


def _sum(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def require_apart(parts: Mapping[str, Pointer], where: str) -> None:
    """Raises UserError where one pointer tracks what another one tracks, too, or a file. where: the commit, for the message."""
    tracked: dict[str, str] = {}
    for part, pointer in sorted(parts.items()):
        if len(parts) > 1 and not pointer.md5.endswith(".dir"):
            raise UserError(f"{quoted(f'{part}.dvc')} at {where} tracks one file: track a folder with one folder a person there.")
        folder = str(PurePosixPath(part).parent / pointer.path)
        if other := tracked.get(folder):
            raise UserError(f"{quoted(f'{other}.dvc')} and {quoted(f'{part}.dvc')} at {where} track the same folder: remove one of them.")
        tracked[folder] = part
    for folder, part in tracked.items():
        for above in PurePosixPath(folder).parents:
            if other := tracked.get(str(above)):
                raise UserError(
                    f"{quoted(f'{part}.dvc')} at {where} tracks a folder within that of {quoted(f'{other}.dvc')}: a photo belongs to one "
                    f"pointer. `dvc remove` one of them, and `dvc add` the folder that is left."
                )


def together(name: str, listings: Listings, where: str) -> list[TrackedFile]:
    """The files of all parts in path order. Raises UserError where two parts list one path, or one as a file and another as a folder."""
    files = [file for listed in listings.values() for file in listed]
    if len(listings) < 2:
        return files
    files.sort()
    paths = {file.path for file in files}
    if len(paths) < len(files):
        _raise_shared(listings, where)
    folders = {file.path.rpartition("/")[0] for file in files}
    if clash := min(folders & paths, default=None):
        raise UserError(f"{quoted(clash)} is a file in one pointer of {name}/ at {where} and a folder in another: rename one of them.")
    return files


def in_columns(listings: Iterable[Sequence[TrackedFile]]) -> Rows[TrackedFile] | None:
    """The same for millions of files, of which those of one part are Python objects at a time; None where `together` raises."""
    count = 0

    def files() -> Iterator[TrackedFile]:
        nonlocal count
        for listed in listings:
            count += 1
            yield from listed

    rows = Rows.of(TrackedFile, TrackedFile._fields, files())
    if count < 2:
        return rows
    if not (rows.text("path")[:-1] < rows.text("path")[1:]).all():
        rows = rows.at(np.argsort(rows.text("path"), kind="stable"))
    paths = rows.text("path")
    if (paths[:-1] == paths[1:]).any():
        return None
    folders = {path.rpartition("/")[0] for path in rows.each("path")}
    return None if any(path in folders for path in rows.each("path")) else rows


def _raise_shared(listings: Listings, where: str) -> None:
    parts_of: defaultdict[str, list[str]] = defaultdict(list)
    for part, files in sorted(listings.items()):
        for file in files:
            parts_of[file.path].append(part)
    shared = sorted((path, parts) for path, parts in parts_of.items() if len(parts) > 1)
    path, parts = shared[0]
    more = f" So do {len(shared) - 1:,} more paths." if len(shared) > 1 else ""
    pointers = " and ".join(quoted(f"{part}.dvc") for part in parts[:SHOWN])
    raise UserError(
        f"{quoted(path)} is listed by {pointers} at {where}: a photo belongs to one pointer. Remove the copy, or rename one of two "
        f"photos.{more}"
    )


def divided(name: str, before: Listings, after: Iterable[TrackedFile]) -> dict[str, list[TrackedFile]]:
    """The files of each part after a change of the folder.

    A path stays in its part. A new one goes where its bytes were, as after a rename; else to the part with most photos of its person; else
    to the last part. before: without any part, there is one of the folder's name.
    """
    parts = sorted(before) or [name]
    if len(parts) == 1:
        return {parts[0]: list(after)}
    part_of = {file.path: part for part in parts for file in before[part]}
    bytes_of = {file.md5: part for part in reversed(parts) for file in before[part]}
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for part in parts:
        for file in before[part]:
            counts[file.path.partition("/")[0]][part] += 1
    found: dict[str, list[TrackedFile]] = {part: [] for part in parts}
    for file in after:
        person = file.path.partition("/")[0]
        part = part_of.get(file.path) or bytes_of.get(file.md5) or _most(counts.get(person, {})) or parts[-1]
        found[part].append(file)
    return found


def _most(counts: Mapping[str, int]) -> str | None:
    """The part with most photos, the first of several; None without any."""
    return max(sorted(counts), key=counts.__getitem__, default=None)
