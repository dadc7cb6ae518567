"""The manifest: one row for each photo, whose split depends on its identity alone."""

import csv
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from face_assets.core.errors import UserError
from face_assets.core.params import Split
from face_assets.core.rows import Repeated, Rows
from face_assets.dataset.photo_folders import identity_of, left_out_as, person_key, require_unicode
from face_assets.registry.listing import TrackedFile

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

    photos: Rows[Photo]
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

    def of(self, split: SplitName) -> Rows[Photo]:
        """The photos of a split."""
        return self.photos.at(np.flatnonzero(self._is_in(split)))

    def identities(self, split: SplitName) -> set[str]:
        """The people of a split."""
        people = self.photos.names("identity")
        return {people.names[code] for code in np.unique(people.codes[self._is_in(split)])}

    def counts(self) -> Counter[str]:
        """The number of each person's photos."""
        people = self.photos.names("identity")
        counted = np.bincount(people.codes, minlength=len(people.names)).tolist()
        return Counter({name: count for name, count in zip(people.names, counted, strict=True) if count})

    def photos_by_split(self) -> dict[str, int]:
        """The number of photos of each split that has some, in the order in which they come."""
        splits = self.photos.names("split")
        found, first, counts = np.unique(splits.codes, return_index=True, return_counts=True)
        return {splits.names[found[place]]: int(counts[place]) for place in np.argsort(first)}

    def _is_in(self, split: SplitName) -> npt.NDArray[np.bool_]:
        splits = self.photos.names("split")
        return np.array([name == split for name in splits.names], bool)[splits.codes]

    def all_test(self) -> "Manifest":
        """The manifest with everybody in the split test, for nobody needs to be kept apart from a training."""
        test = Repeated(["test"], np.zeros(len(self.photos), np.int32))
        return replace(self, photos=Rows(Photo, {**self.photos.columns, "split": test}))

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
            photos = photo_rows(rows)
        for name in photos.names("split").names:
            split_name(name)
        return Manifest(photos)


def photo_rows(rows: Iterable[Sequence[str]]) -> Rows[Photo]:
    """Photos of their texts (path, md5, identity, split)."""
    return Rows.of(Photo, FIELDS, rows, repeated=("identity", "split"))


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
    listed = files if isinstance(files, Rows) else Rows.of(TrackedFile, TrackedFile._fields, _readable(files))
    misplaced: list[str] = []
    left_out: defaultdict[str, list[str]] = defaultdict(list)
    places: dict[str, int] = {}

    def folder_of(path: str) -> int:
        """The place of the person's folder; -1 for a file that is no photo of a person."""
        parts: Sequence[str] = path.split("/")
        if "" in parts or "." in parts:
            parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts:
            raise UserError(f"The data set lists {path!r}, which is no file in its folder: add the folder again.")
        reason = left_out_as(parts)
        if reason:
            left_out[reason].append(path)
        elif len(parts) < 2:
            misplaced.append(path)
        else:
            return places.setdefault(parts[0], len(places))
        return -1

    found = np.fromiter(map(folder_of, listed.each("path")), np.int32, len(listed))
    if left_out or misplaced:
        listed, found = listed.at(np.flatnonzero(found >= 0)), found[found >= 0]
    folders = Repeated(list(places), found)
    rows = in_order(Rows(Photo, {**listed.columns, "identity": folders, "split": folders}))
    folders = rows.names("identity")
    names = Counter(dict(zip(folders.names, np.bincount(folders.codes, minlength=len(folders.names)).tolist(), strict=True)))
    identities = _identities(names, known)
    people = {identity: place for place, identity in enumerate(dict.fromkeys(identities.values()))}
    person = np.array([people[identities[folder]] for folder in folders.names], np.int32)
    splits = np.array([SPLITS.index(assign_split(identity, split)) for identity in people], np.int32)
    codes = person[folders.codes]
    columns = {"identity": Repeated(list(people), codes), "split": Repeated(SPLITS, splits[codes])}
    several = np.bincount(person, minlength=len(people)) > 1
    spelled: defaultdict[str, list[str]] = defaultdict(list)
    for folder in sorted(folder for folder, place in zip(folders.names, person.tolist(), strict=True) if several[place]):
        spelled[identities[folder]].append(folder)
    return Manifest(
        Rows(Photo, {**rows.columns, **columns}),
        sorted(misplaced),
        {reason: sorted(paths) for reason, paths in sorted(left_out.items())},
        _without_photos(left_out.values(), names),
        dict(spelled),
    )


def _readable(files: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for path, md5 in files:
        require_unicode(path)
        yield path, md5


def in_order(photos: Rows[Photo]) -> Rows[Photo]:
    """The photos by path, and those of one path by md5."""
    paths = photos.text("path")
    if (paths[:-1] < paths[1:]).all():
        return photos
    order = np.argsort(photos.text("md5"), kind="stable")
    return photos.at(order[np.argsort(paths[order], kind="stable")])


def _identities(folders: Mapping[str, int], known: Iterable[str]) -> dict[str, str]:
    """The identity of each folder's name; folders: name → number of photos."""
    ordered = sorted(folders)
    names = [folder if (name := identity_of(folder)) == folder else name for folder in ordered]
    keys = [person_key(name) for name in names]
    chosen: dict[str, str] = {}
    several = {key for key, name in zip(keys, names, strict=True) if chosen.setdefault(key, name) != name}
    spelled: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for folder, name, key in zip(ordered, names, keys, strict=True) if several else ():
        if key in several:
            spelled[key][name] += folders[folder]
    chosen |= {key: counts.most_common(1)[0][0] for key, counts in spelled.items()}
    chosen |= {key: name for name in known if (key := person_key(name)) in chosen}
    return {folder: chosen[key] for folder, key in zip(ordered, keys, strict=True)}


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
