"""The manifest: one row for each photo, whose split depends on its identity alone."""

import csv
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from sys import intern
from typing import Any, Literal, get_args

from face_assets.core.errors import UserError
from face_assets.core.params import Split
from face_assets.dataset.photo_folders import identity_of, left_out_as, person_key, require_unicode

EXAMPLES = 20
SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)
FIELDS = ("path", "md5", "identity", "split")


@dataclass(frozen=True, slots=True)
class Photo:
    """A row: the path below the photos folder, the file's md5, its identity and split."""

    path: str
    md5: str
    identity: str
    split: SplitName


@dataclass(frozen=True)
class Manifest:
    """The photos by path, and the other files of the folder.

    misplaced: photos in no person's folder; left_out: reason → paths of files that are no photos of a person; without_photos: folders of
    people with such files only; spellings: identity → names of folders, for people with several.
    """

    photos: list[Photo]
    misplaced: list[str] = field(default_factory=list)
    left_out: Mapping[str, list[str]] = field(default_factory=dict)
    without_photos: list[str] = field(default_factory=list)
    spellings: Mapping[str, list[str]] = field(default_factory=dict)

    def notes(self) -> dict[str, Any]:
        """JSON-able facts on files that are no photos of a person, and on people with several spellings; at most EXAMPLES examples each."""
        return {
            "misplaced": len(self.misplaced),
            "misplaced_examples": self.misplaced[:EXAMPLES],
            "left_out_files": {reason: len(paths) for reason, paths in self.left_out.items()},
            "left_out_files_examples": {reason: paths[:EXAMPLES] for reason, paths in self.left_out.items()},
            "people_without_photos": self.without_photos[:EXAMPLES],
            "people_with_several_spellings": len(self.spellings),
            "spellings": dict(sorted(self.spellings.items())[:EXAMPLES]),
        }

    def of(self, split: SplitName) -> list[Photo]:
        """The photos of a split."""
        return [photo for photo in self.photos if photo.split == split]

    def identities(self, split: SplitName) -> set[str]:
        """The people of a split."""
        return {photo.identity for photo in self.photos if photo.split == split}

    def all_test(self) -> "Manifest":
        """The manifest with everybody in the split test, for nobody needs to be kept apart from a training."""
        return replace(self, photos=[replace(photo, split="test") for photo in self.photos])

    def write(self, path: Path) -> None:
        """Writes the photos as CSV."""
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\r\n")  # by which csv quotes a name with either character
            writer.writerow(FIELDS)
            writer.writerows((photo.path, photo.md5, photo.identity, photo.split) for photo in self.photos)

    @staticmethod
    def read(path: Path) -> "Manifest":
        """Reads what `write` wrote."""
        with open(path, encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            next(rows)
            return Manifest([Photo(path, md5, intern(identity), split_name(split)) for path, md5, identity, split in rows])


def split_name(name: str) -> SplitName:
    """The split of that name. Raises ValueError for another name."""
    for split in SPLITS:
        if name == split:
            return split
    raise ValueError(f"no split is called {name!r}")


def make_manifest(files: Iterable[tuple[str, str]], split: Split, known: Iterable[str] = ()) -> Manifest:
    """The manifest of (path below the photos folder, md5). Raises UserError for a path that leaves the folder or is not UTF-8, and for a
    name that is invalid for an identity.

    The identity is the first folder's name. Names that differ only by case, spaces or Unicode form are one person, in the
    spelling of `known`, else in the one with most photos.
    """
    found: list[tuple[str, str, str]] = []
    misplaced: list[str] = []
    left_out: defaultdict[str, list[str]] = defaultdict(list)
    for path, md5 in files:
        parts: Sequence[str] = path.split("/")
        if "" in parts or "." in parts:
            parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts:
            raise UserError(f"The data set lists {path!r}, which is no file in its folder: add the folder again.")
        require_unicode(path)
        reason = left_out_as(parts)
        if reason:
            left_out[reason].append(path)
        elif len(parts) < 2:
            misplaced.append(path)
        else:
            found.append((path, md5, intern(parts[0])))
    names = Counter(folder for _, _, folder in found)
    identities = _identities(names, known)
    splits = {identity: assign_split(identity, split) for identity in identities.values()}
    found.sort()
    photos = [Photo(path, md5, identities[folder], splits[identities[folder]]) for path, md5, folder in found]
    folders: defaultdict[str, list[str]] = defaultdict(list)
    for folder in sorted(names):
        folders[identities[folder]].append(folder)
    return Manifest(
        photos,
        sorted(misplaced),
        {reason: sorted(paths) for reason, paths in sorted(left_out.items())},
        _without_photos(left_out.values(), names),
        {identity: spelled for identity, spelled in folders.items() if len(spelled) > 1},
    )


def _identities(folders: Mapping[str, int], known: Iterable[str]) -> dict[str, str]:
    """The identity of each folder's name; folders: name → number of photos."""
    people: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for folder, photos in sorted(folders.items()):
        name = identity_of(folder)
        people[person_key(name)][name] += photos
    chosen = {key: spelled.most_common(1)[0][0] for key, spelled in people.items()}
    chosen |= {key: name for name in known if (key := person_key(name)) in chosen}
    return {folder: chosen[person_key(folder)] for folder in folders}


def _without_photos(left_out: Iterable[list[str]], with_photos: Iterable[str]) -> list[str]:
    """The folders in which every file was left out, except those whose names are no person's."""
    folders = {path.partition("/")[0] for paths in left_out for path in paths if "/" in path}
    return sorted(folder for folder in folders - set(with_photos) if not left_out_as([folder], is_folder=True))


def assign_split(identity: str, split: Split) -> SplitName:
    """The split of an identity, by a hash of its name and the seed, so that nobody moves when people or photos are added."""
    digest = hashlib.sha256(f"{split.seed}\0{identity}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < split.test:
        return "test"
    return "validation" if place < split.test + split.validation else "train"


def moved(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The identities, in order, that have different splits in the two."""
    return sorted(identity for identity, split in before.items() if after.get(identity, split) != split)
