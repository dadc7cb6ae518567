"""Labelled photos of a split, and their embeddings by the candidate or by a release: those without a found face are among them."""

import csv
import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from sys import intern
from typing import TYPE_CHECKING

import numpy as np

from face_assets.core.errors import UserError
from face_assets.core.files import read_json
from face_assets.core.fingerprint import fingerprint
from face_assets.dataset.steps import PHOTOS
from face_assets.detection.detectors import served_detector
from face_assets.detection.same_faces import same_faces
from face_assets.detection.steps import Face, listed_photos, read_faces
from face_assets.embedding.training_record import read_record
from face_assets.embedding.vectors import engine_vectors
from face_assets.registry.releases import Release
from face_assets.registry.workspace import Log, Workspace
from face_assets.storage.artifacts import Artifact

if TYPE_CHECKING:
    from face_assets.biometrics.labelled import Labelled

MOST_PHOTOS = 50_000
"""Photos of a split of which all pairs are compared, 1.25 billion. Figures of more would take the square of their number in time."""
CALIBRATION = "validation"
"""The split by whose people the gate's thresholds are chosen; training watches them and does not learn from them."""
STATUSES = ("face", "no_face", "unusable")
"""Statuses of photos whose label counts. A photo that stands under two people, or twice under one, is not among them."""


@dataclass(frozen=True)
class LabelledPhotos:
    """Photos of a split, in path order. rows: places of `faces`, the photos in which the candidate's detector finds a face.

    of_photos, of_people: those of the whole split, where the people of these photos are drawn from it; else 0.
    """

    paths: list[str]
    md5s: list[str]
    identities: list[str]
    faces: list[Face]
    rows: np.ndarray
    of_photos: int = 0
    of_people: int = 0

    @cached_property
    def names(self) -> list[str]:
        """The people, sorted."""
        return sorted(set(self.identities))

    @cached_property
    def people(self) -> np.ndarray:
        """Number of each photo's person among `names`, int (n,)."""
        numbers = {name: number for number, name in enumerate(self.names)}
        return np.array([numbers[identity] for identity in self.identities], np.int64)

    @property
    def failures(self) -> int:
        """Photos in which the candidate finds no face."""
        return len(self.paths) - len(self.faces)

    def seen(self, embeddings: np.ndarray, rows: np.ndarray | None = None) -> "Labelled":
        """The photos with embeddings float32 (k, d) of those at `rows`, or of `faces`."""
        from face_assets.biometrics.labelled import Labelled

        return Labelled(self.people, self.rows if rows is None else rows, embeddings)


@dataclass(frozen=True)
class Seen:
    """The test photos and those of the calibration people by one recognizer."""

    test: "Labelled"
    calibration: "Labelled"


def read_labelled(aligned: Artifact, split: str, most: int = MOST_PHOTOS) -> LabelledPhotos:
    """The labelled photos of a split: all up to `most`, and beyond that all those of people drawn from the split."""
    photos = Counter(identity for _, _, identity in _labelled(aligned, split))
    people = people_drawn(photos, most)
    chosen = [(path, md5, intern(identity)) for path, md5, identity in _labelled(aligned, split) if identity in people]
    faces = read_faces(aligned, split, people=people)
    places = {path: place for place, (path, _, _) in enumerate(chosen)}
    found = np.array([places[face.path] for face in faces], np.int64)
    paths, md5s, identities = ([row[column] for row in chosen] for column in range(3))
    whole = (photos.total(), len(photos)) if len(chosen) < photos.total() else ()
    return LabelledPhotos(paths, md5s, identities, faces, found, *whole)


def _labelled(aligned: Artifact, split: str) -> Iterator[tuple[str, str, str]]:
    """Yields path, md5 and identity of the photos of a split whose label counts."""
    for path, md5, identity, photos_split, status in listed_photos(aligned, "path", "md5", "identity", "split", "status"):
        if photos_split == split and status in STATUSES:
            yield path, md5, identity


def people_drawn(photos: Mapping[str, int], most: int) -> Collection[str]:
    """The people of whom there are `most` photos together, or somewhat less; all where there are no more, and two at least.

    photos: number of each person's. They are drawn in the order of a hash of their names, so that hardly anybody changes when others are
    added.
    """
    if sum(photos.values()) <= most:
        return photos.keys()
    drawn: set[str] = set()
    left = most
    for name in sorted(photos, key=lambda name: hashlib.sha256(name.encode()).digest()):
        if photos[name] <= left or len(drawn) < 2:
            drawn.add(name)
            left -= photos[name]
    return drawn


def seen_by_release(workspace: Workspace, commit: str, release: Release, photos: LabelledPhotos, log: Log) -> "Labelled":
    """The photos as the release's own detector and engine see them, with the same subjects where the candidate finds a face.

    Crops and embeddings that are stored are not made again.
    """
    bundle = workspace.releases.bundle(release)
    detector, max_megapixels = served_detector(bundle), read_json(bundle / "recognizer.json")["max_megapixels"]
    chosen = {md5: md5 for md5 in photos.md5s} | {face.md5: face.crop_key for face in photos.faces}
    detectors = workspace.params(commit).detector, detector
    keys = same_faces(workspace, commit, PHOTOS, chosen, detectors, max_megapixels, log)
    rows = np.array([row for row, md5 in enumerate(photos.md5s) if md5 in keys], np.int64)
    return photos.seen(engine_vectors(workspace, bundle, detector, [keys[photos.md5s[row]] for row in rows], log), rows)


def learned_by_release(workspace: Workspace, release: Release) -> frozenset[str]:
    """People of whom the release has learned. Empty for a bundle that does not list them."""
    bundle = workspace.releases.bundle(release)
    record = read_record(bundle)
    listed = bundle / "splits.csv"
    if record:
        return record.people
    if not listed.is_file():
        return frozenset()
    with open(listed, encoding="utf-8", newline="") as file:
        return frozenset(row["identity"] for row in csv.DictReader(file) if row["split"] == "train")


def recognizer_key(workspace: Workspace, release: Release) -> str:
    """Digest of all by which an evaluation beside a release differs from one beside another: how it sees photos, and of whom it learned.

    Releases that differ in their gallery alone have one; an evaluation of thousands of photos is not made again for an enrolment.
    """
    try:
        recognizer = read_json(workspace.releases.bundle(release) / "recognizer.json")
        learned = sorted(learned_by_release(workspace, release))
    except UserError:  # an evaluation that exists needs no bundle
        return release.commit
    return fingerprint(release.digests.embeddings, recognizer["detector"], recognizer["max_megapixels"], learned)


def people_kept(names: Sequence[str], learned: frozenset[str]) -> np.ndarray:
    """True for each of `names` that is not among `learned`, bool (people,)."""
    return np.array([name not in learned for name in names], bool)
