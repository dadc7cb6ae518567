"""Listings: the JSON files by which DVC tracks folders, with the path and md5 of each file."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from face_assets.core.errors import UserError
from face_assets.core.identifiers import is_below, quoted
from face_assets.registry.pointer import MD5

LONGEST = 4096
NAME = re.compile(rf"[^\x00\ud800-\udfff]{{1,{LONGEST}}}")
"""A path that a file system can have. No file is made of it, so control characters pass: macOS has a file "Icon\\r"."""
BEGIN = re.compile(rb"\s*\[\s*(\]\s*\Z)?")
FLAT = rb'\s*+\{(?:[^"{}\[\]]++|"(?:[^"\\]|\\.){0,64000}+"){0,64}+\}\s*+'
ENTRIES = re.compile(rb"(%s(?:,%s){0,4095}+)([,\]])" % (FLAT, FLAT), re.DOTALL)
"""Flat objects of no more than some keys, at most 4,096 of them, and the character that follows them."""
ODD = re.compile(r"(?:\A|[/\0])\.{0,2}(?:[/\0]|\Z)|[\ud800-\udfff]")
"""In paths joined by NUL: a part that is empty, . or .., or what is no text."""
MOST_BYTES = 512_000_000  # about five million photos


class TrackedFile(NamedTuple):
    """A file of a tracked folder: its path below the folder, and its md5."""

    path: str
    md5: str


def read_listing(file: Path, where: str) -> list[TrackedFile]:
    """The files of a tracked folder in path order. Raises UserError where the listing is broken, or names files that no folder can have."""
    broken = f"The listing of {where}, {file}, is broken: delete that file, so that it is fetched again."
    if file.stat().st_size > MOST_BYTES:
        raise UserError(f"The listing of {where} is longer than {MOST_BYTES:,} bytes: divide the folder.")
    files: list[TrackedFile] = []
    try:
        for entries in _entries(file.read_bytes()):
            files += _tracked(entries, where)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(broken) from error
    ordered = sorted(file.path.replace("/", "\0") for file in files)  # a folder's files come right after its name
    for before, after in pairwise(ordered):
        if not f"{after}\0".startswith(f"{before}\0"):
            continue
        named = quoted(before.replace("\0", "/"))
        how = "twice" if after == before else "as a file and as a folder"
        raise UserError(f"{where} lists {named} {how}: add the folder again.")
    files.sort()
    return files


def listing_of(files: Iterable[TrackedFile]) -> bytes:
    """The listing of files, the same bytes as DVC writes for them (dvc_data's Tree.as_bytes)."""
    entries = [{"md5": file.md5, "relpath": file.path} for file in sorted(files, key=lambda one: one.path)]
    return json.dumps(entries, sort_keys=True).encode()


def _entries(content: bytes) -> Iterator[list[dict[str, Any]]]:
    """Yields the entries in blocks: nested brackets, parsed as a whole, take twenty times their length. Raises ValueError."""
    begin = BEGIN.match(content)
    if not begin:
        raise ValueError("no list")
    at, follows = begin.end(), b"]" if begin[1] else b","
    while follows == b",":
        found = ENTRIES.match(content, at)
        if not found:
            raise ValueError(f"no entry at byte {at:,}")
        yield json.loads(b"[%s]" % found[1])
        at, follows = found.end(), found[2]
    if content[at:].strip():
        raise ValueError("more than a list")


def _tracked(entries: Sequence[dict[str, Any]], where: str) -> Iterator[TrackedFile]:
    """The files of entries, all of them checked together; one by one where something is wrong, to name it. Raises UserError."""
    paths, md5s = [entry["relpath"] for entry in entries], [entry["md5"] for entry in entries]
    try:
        joined = "\0".join(paths)
        is_fine = joined.count("\0") == len(paths) - 1 and not ODD.search(joined) and max(map(len, paths)) <= LONGEST
        is_fine = is_fine and all(map(MD5.fullmatch, md5s))
    except TypeError:
        is_fine = False
    return map(TrackedFile, paths, md5s) if is_fine else map(_checked, paths, md5s, [where] * len(paths))


def _checked(path: object, md5: object, where: str) -> TrackedFile:
    if not isinstance(path, str) or not NAME.fullmatch(path) or path != PurePosixPath(path).as_posix() or not is_below(path):
        raise UserError(f"{where} lists {quoted(path)}, which leaves the folder or is no name of a file: rename it and add it again.")
    if not isinstance(md5, str) or not MD5.fullmatch(md5):
        raise UserError(f"{where} lists {quoted(path)} with {quoted(md5)}, which is no md5: add the folder again.")
    return TrackedFile(path, md5)
