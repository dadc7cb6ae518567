"""The manifest: one row a photo, its split decided by its identity alone."""

import csv
import hashlib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

from face_assets.errors import UserError
from face_assets.params import Split

SplitName = Literal["train", "validation", "test"]
IGNORED = ("thumbs.db", "desktop.ini", "icon\r")
FIELDS = ("path", "md5", "identity", "split")


@dataclass(frozen=True, slots=True)
class Photo:
    """A row: the path below the photos folder, the file's md5, whose face it is, and what it is used for."""

    path: str
    md5: str
    identity: str
    split: SplitName


@dataclass(frozen=True)
class Manifest:
    """The photos by path; `misplaced` are files in no person's folder, `ignored` counts hidden and system files."""

    photos: list[Photo]
    misplaced: list[str]
    ignored: int

    def of(self, split: SplitName) -> list[Photo]:
        """The photos of a split."""
        return [photo for photo in self.photos if photo.split == split]

    def identities(self, split: SplitName) -> set[str]:
        """The people of a split."""
        return {photo.identity for photo in self.photos if photo.split == split}

    def write(self, path: Path) -> None:
        """Writes the photos as CSV."""
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\r\n")  # so that csv quotes a name with either character
            writer.writerow(FIELDS)
            writer.writerows((photo.path, photo.md5, photo.identity, photo.split) for photo in self.photos)

    @staticmethod
    def read(path: Path) -> "Manifest":
        """Reads what `write` wrote."""
        with open(path, encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            next(rows)
            return Manifest([Photo(path, md5, identity, _split_name(split)) for path, md5, identity, split in rows], [], 0)


def _split_name(name: str) -> SplitName:
    for split in get_args(SplitName):
        if name == split:
            return split  # type: ignore[no-any-return]
    raise ValueError(f"no split is called {name!r}")


def make_manifest(files: Iterable[tuple[str, str]], split: Split) -> Manifest:
    """The manifest of (path below the photos folder, md5). Raises UserError for a path that leaves the folder or is not UTF-8.

    The identity is the first folder's name in Unicode's composed form, so that a name written on macOS and on Linux is one person.
    """
    splits: dict[str, SplitName] = {}
    photos, misplaced, ignored = [], [], 0
    for path, md5 in files:
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts:
            raise UserError(f"The data set lists {path!r}, which is no file in its folder: add the folder again.")
        if not _is_unicode(path):
            raise UserError(f"The name of {path!r} in the data set is not UTF-8: rename the file or its folder, and add the folder again.")
        if parts[-1].lower() in IGNORED or any(part.startswith(".") for part in parts):
            ignored += 1
        elif len(parts) < 2:
            misplaced.append(path)
        else:
            identity = unicodedata.normalize("NFC", parts[0])
            if identity not in splits:
                splits[identity] = assign_split(identity, split)
            photos.append(Photo(path, md5, identity, splits[identity]))
    photos.sort(key=lambda photo: photo.path)
    return Manifest(photos, sorted(misplaced), ignored)


def _is_unicode(path: str) -> bool:
    """Whether no byte of the name had to be smuggled in as a surrogate."""
    return path.isascii() or not any("\ud800" <= character <= "\udfff" for character in path)


def assign_split(identity: str, split: Split) -> SplitName:
    """The split of an identity: by a hash of its name and the seed, so that nobody moves when people or photos are added."""
    digest = hashlib.sha256(f"{split.seed}\0{identity}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < split.test:
        return "test"
    return "validation" if place < split.test + split.validation else "train"


def moved(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The identities, in order, that stand in both under different splits."""
    return sorted(identity for identity, split in before.items() if after.get(identity, split) != split)
