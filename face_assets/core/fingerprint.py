"""Fingerprints: short digests that name a thing by what made it."""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

LENGTH = 16


def fingerprint(*parts: Any) -> str:
    """16 hex digits of the SHA-256 of JSON-able `parts`, the same in every process."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_digest(path: Path) -> str:
    """16 hex digits of the SHA-256 of a file's bytes."""
    return file_sha256(path)[:LENGTH]


def tree_digest(directory: Path) -> str:
    """A digest of the names and bytes of every file below `directory`, in name order."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return fingerprint([[path.relative_to(directory).as_posix(), file_digest(path)] for path in files])


def content_digest(file: Path) -> str:
    """The digest of a file, computed once in a process while it stays as it is."""
    found = file.stat()
    return _digest(file, found.st_size, found.st_mtime_ns, found.st_ino)


@cache
def _digest(file: Path, *_: int) -> str:
    return file_digest(file)
