"""Large files of the state directory by content: equal ones in several folders take their space once, as hard links of one another.

They are written once and never changed, so that no edit in one folder reaches another; a process that must change one replaces it.
"""

import os
import secrets
from pathlib import Path

from face_assets.core.fingerprint import file_sha256

FOLDER = "linked"
"""Name in the state directory."""
LEAST = 1 << 16
"""Bytes from which on a file is shared. Smaller ones together take less than the search for their equals is worth."""


class LinkedFiles:
    """The folder with one link to each large file, named by the SHA-256 of its content."""

    def __init__(self, root: Path):
        self.root = root

    def share(self, file: Path) -> None:
        """Replaces the file by a link to an equal one where there is one; otherwise later ones become links to it.

        The file stays as it is where it is small, and where the file system has no links. Several processes may share at once.
        """
        self._share(file, self._inodes())

    def share_folder(self, folder: Path) -> None:
        """Shares every file below the folder."""
        known = self._inodes()
        for file in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
            self._share(file, known)

    def sweep(self) -> None:
        """Removes the files that lie in no other folder any more."""
        for file in self.root.iterdir() if self.root.is_dir() else ():
            if file.stat().st_nlink == 1:
                file.unlink(missing_ok=True)

    def inodes(self) -> list[tuple[int, int]]:
        """(device, inode) of each file."""
        return [(found.st_dev, found.st_ino) for found in (file.stat() for file in self.root.iterdir())] if self.root.is_dir() else []

    def _inodes(self) -> set[int]:
        return {entry.inode() for entry in os.scandir(self.root)} if self.root.is_dir() else set()

    def _share(self, file: Path, known: set[int]) -> None:
        found = file.stat()
        if found.st_size < LEAST or found.st_ino in known:
            return
        name = file_sha256(file)
        shared = self.root / name
        self.root.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, shared)
            known.add(found.st_ino)
        except FileExistsError:
            if _is_whole(shared, name):
                _replace(file, shared)
            else:  # damaged on the disk, or changed in place in spite of the rule: what is new does not get its content
                _replace(shared, file)
        except OSError:  # a file system without links, or a file with as many as it may have
            return


def _is_whole(shared: Path, name: str) -> bool:
    try:
        return file_sha256(shared) == name
    except FileNotFoundError:  # swept meanwhile
        return False


def _replace(file: Path, other: Path) -> None:
    """Puts a link to `other` in the place of `file`, in one step; leaves it where that cannot be."""
    aside = file.with_name(f".{file.name}.{secrets.token_hex(6)}")
    try:
        os.link(other, aside)
        os.replace(aside, file)
    except OSError:  # as a file with as many links as it may have, or one that was swept
        aside.unlink(missing_ok=True)
