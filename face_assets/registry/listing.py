"""Listings: the JSON file by which DVC tracks a folder, with the path and md5 of each of its files."""

import json
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath

from face_assets.core.errors import UserError
from face_assets.core.identifiers import is_below, shown
from face_assets.registry.pointer import MD5

NAME = re.compile(r"[^\x00\ud800-\udfff]{1,4096}")
"""A path that a file system can hold; no file is made of it, and macOS leaves a file called Icon and a carriage return."""
MOST_BYTES = 512_000_000  # about five million photos


@dataclass(frozen=True)
class TrackedFile:
    path: str
    md5: str


def read_listing(file: Path, where: str) -> list[TrackedFile]:
    """The files of a tracked folder in path order. Raises UserError where the listing is broken, or names what no folder can hold."""
    broken = f"The listing of {where}, {file}, is broken: delete that file, so that it is fetched again."
    if file.stat().st_size > MOST_BYTES:
        raise UserError(f"The listing of {where} is longer than {MOST_BYTES:,} bytes: divide the folder.")
    try:
        listed = [(entry["relpath"], entry["md5"]) for entry in json.loads(file.read_bytes())]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(broken) from error
    files = sorted((_tracked(path, md5, where) for path, md5 in listed), key=lambda one: one.path)
    paths = {one.path for one in files}
    for before, after in pairwise(files):
        if before.path == after.path:
            raise UserError(f"{where} lists {shown(after.path)} twice: add the folder again.")
    for folder in {parent.as_posix() for path in paths for parent in Path(path).parents}:
        if folder in paths:
            raise UserError(f"{where} lists {shown(folder)} as a file and as a folder: add the folder again.")
    return files


def _tracked(path: object, md5: object, where: str) -> TrackedFile:
    if not isinstance(path, str) or not NAME.fullmatch(path) or path != PurePosixPath(path).as_posix() or not is_below(path):
        raise UserError(f"{where} lists {shown(path)}, which leaves the folder or is no name of a file: rename it and add it again.")
    if not isinstance(md5, str) or not MD5.fullmatch(md5):
        raise UserError(f"{where} lists {shown(path)} with {shown(md5)}, which is no md5: add the folder again.")
    return TrackedFile(path, md5)
