"""Files and folders that pruning removes together or not at all: their last use, size and removal."""

import os
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from face_assets.core.files import PARTIAL, free_lock

BLOCK = 512

Sizes = list[tuple[tuple[int, int], int, int]]
"""(inode, bytes on the disk, number of links) of each file."""


@dataclass(frozen=True)
class PruningCandidate:
    """Files and folders that are removed together or not at all.

    paths: in the order of removal; usage_files: files whose newest mtime is the time of the last use, `used`; locks: of its users.
    """

    kind: str
    paths: tuple[Path, ...]
    usage_files: tuple[Path, ...]
    used: float
    locks: tuple[Path, ...]

    @staticmethod
    def of(kind: str, paths: Sequence[Path], usage_files: Sequence[Path], *locks: Path) -> "PruningCandidate":
        """The candidate with the time of its last use, read from `usage_files`."""
        return PruningCandidate(kind, tuple(paths), tuple(usage_files), last_use(usage_files), locks)


def bytes_on_disk(candidates: Sequence[PruningCandidate]) -> int:
    """Bytes on the disk of the candidates' files, each file once."""
    return sum({inode: size for candidate in candidates for inode, size, _ in sizes_of(candidate)}.values())


def last_use(usage_files: Sequence[Path]) -> float:
    """Newest mtime, in seconds since the epoch; 0 if no file exists."""
    newest = 0.0
    for file in usage_files:
        try:
            newest = max(newest, file.lstat().st_mtime)
        except FileNotFoundError:
            continue
    return newest


def remove(candidate: PruningCandidate, notes: list[str]) -> bool:
    """Removes a candidate. Returns False if it is in use."""
    try:
        with ExitStack() as locks:
            for lock in candidate.locks:
                locks.enter_context(free_lock(lock))
            if last_use(candidate.usage_files) > candidate.used:
                return False
            for path in candidate.paths:
                _delete(path)
    except BlockingIOError:
        notes.append(f"{candidate.paths[0]} is in use: it stays.")
        return False
    except OSError as error:
        notes.append(f"{error.filename or candidate.paths[0]} cannot be removed: {error.strerror}.")
        return False
    return True


def _delete(path: Path) -> None:
    """Deletes a file, a link, or a folder, which is renamed first so that no reader finds it incomplete."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    aside = path if path.name.startswith(PARTIAL) else path.with_name(f"{PARTIAL}{path.name}-pruned")
    if aside != path:
        shutil.rmtree(aside, ignore_errors=True)  # left by a killed removal
        os.rename(path, aside)
    shutil.rmtree(aside)


def sizes_of(candidate: PruningCandidate) -> Sizes:
    """(inode, bytes on the disk, number of links) of each file of a candidate."""
    files = [file for path in candidate.paths for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file()]
    return [((stat.st_dev, stat.st_ino), stat.st_blocks * BLOCK, stat.st_nlink) for stat in (file.lstat() for file in files)]
