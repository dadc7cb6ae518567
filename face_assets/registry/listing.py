"""Listings: the JSON files by which DVC tracks folders, with the path and md5 of each file."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath

from face_assets.core.errors import UserError
from face_assets.core.identifiers import is_below, quoted
from face_assets.registry.pointer import MD5

NAME = re.compile(r"[^\x00\ud800-\udfff]{1,4096}")
"""A path that a file system can have. No file is made of it, so control characters pass: macOS has a file "Icon\\r"."""
BEGIN = re.compile(rb"\s*\[\s*(\]\s*\Z)?")
ENTRY = re.compile(rb'\s*(\{(?:[^"{}\[\]]|"(?:[^"\\]|\\.)*+")*+\})\s*([,\]])', re.DOTALL)
"""A flat object, and the character that follows it."""
MOST_BYTES = 512_000_000  # about five million photos
LONGEST_ENTRY = 64_000


@dataclass(frozen=True)
class TrackedFile:
    path: str
    md5: str


def read_listing(file: Path, where: str) -> list[TrackedFile]:
    """The files of a tracked folder in path order. Raises UserError where the listing is broken, or names files that no folder can have."""
    broken = f"The listing of {where}, {file}, is broken: delete that file, so that it is fetched again."
    if file.stat().st_size > MOST_BYTES:
        raise UserError(f"The listing of {where} is longer than {MOST_BYTES:,} bytes: divide the folder.")
    try:
        files = [_tracked(entry["relpath"], entry["md5"], where) for entry in _entries(file.read_bytes())]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(broken) from error
    files.sort(key=lambda one: one.path.replace("/", "\0"))  # a folder's files sort right after its name
    for before, after in pairwise(files):
        if before.path == after.path:
            raise UserError(f"{where} lists {quoted(after.path)} twice: add the folder again.")
        if after.path.startswith(f"{before.path}/"):
            raise UserError(f"{where} lists {quoted(before.path)} as a file and as a folder: add the folder again.")
    return sorted(files, key=lambda one: one.path)


def listing_of(files: Iterable[TrackedFile]) -> bytes:
    """The listing of files, the same bytes as DVC writes for them (dvc_data's Tree.as_bytes)."""
    entries = [{"md5": file.md5, "relpath": file.path} for file in sorted(files, key=lambda one: one.path)]
    return json.dumps(entries, sort_keys=True).encode()


def _entries(content: bytes) -> Iterator[dict[str, object]]:
    """Yields the entries, parsed one by one: nested brackets, parsed as a whole, take twenty times their length. Raises ValueError."""
    begin = BEGIN.match(content)
    if not begin:
        raise ValueError("no list")
    at, follows = begin.end(), b"]" if begin[1] else b","
    while follows == b",":
        found = ENTRY.match(content, at)
        if not found or len(found[1]) > LONGEST_ENTRY:
            raise ValueError(f"no entry at byte {at:,}")
        yield json.loads(found[1])
        at, follows = found.end(), found[2]
    if content[at:].strip():
        raise ValueError("more than a list")


def _tracked(path: object, md5: object, where: str) -> TrackedFile:
    if not isinstance(path, str) or not NAME.fullmatch(path) or path != PurePosixPath(path).as_posix() or not is_below(path):
        raise UserError(f"{where} lists {quoted(path)}, which leaves the folder or is no name of a file: rename it and add it again.")
    if not isinstance(md5, str) or not MD5.fullmatch(md5):
        raise UserError(f"{where} lists {quoted(path)} with {quoted(md5)}, which is no md5: add the folder again.")
    return TrackedFile(path, md5)
