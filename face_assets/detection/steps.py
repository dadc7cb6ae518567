"""The step aligned_faces, which crops one face of each listed photo."""

import csv
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from sys import intern
from time import monotonic
from typing import Any

import numpy as np

from face_assets.core.cluster import ray_cluster
from face_assets.core.errors import UnreachableError
from face_assets.core.fingerprint import fingerprint
from face_assets.core.params import Detector, Params
from face_assets.core.progress import progress_lines
from face_assets.core.rows import Rows
from face_assets.core.step_versions import step_version
from face_assets.core.tables import write_rows
from face_assets.dataset import duplicates
from face_assets.dataset.decoding import UnusablePhoto, decode
from face_assets.dataset.manifest import Manifest, Photo, split_name
from face_assets.dataset.steps import PHOTOS
from face_assets.detection.alignment import align_photos, unaligned, within
from face_assets.detection.contact_sheet import contact_sheet
from face_assets.detection.detectors import consensus_photos, crop_store, detector_config, detector_fingerprint, detector_networks
from face_assets.registry.workspace import Log, Workspace
from face_assets.storage.artifacts import Artifact

SHEET = 40
LISTED = 200
SEEN = "seen"
"""Status of a usable face of a person whom training or validation has under another name: enrolled, and no part of any split."""


@dataclass(frozen=True, slots=True)
class Face:
    """A photo with a crop, as training and evaluation use it. crop_key: of its subject's face, in stores of crops, features and embeddings;
    that of the detector's first choice is the photo's md5."""

    path: str
    md5: str
    identity: str
    split: str
    crop_key: str


@dataclass(frozen=True)
class Alignment:
    """Number of photos detected now, and the facts of every photo, by md5, under the present limit of megapixels."""

    detected: int
    facts: dict[str, dict[str, Any]]


def align(
    workspace: Workspace,
    commit: str,
    source: str,
    md5s: Iterable[str],
    detector: Detector,
    max_megapixels: float,
    log: Log,
    every_face: Collection[str] = (),
) -> Alignment:
    """Fills the crop store with the photos that it lacks, and with all faces of those in `every_face` (`consensus_photos`)."""
    store, detected = crop_store(workspace, detector), 0
    missing, facts = unaligned(store, md5s, max_megapixels, every_face)
    while missing:  # once, unless a concurrent run rejects photos under a lower limit
        known = len(missing) - len(store.missing(missing))
        again = f", {known:,} of them again, for crops of all their faces" if known else ""
        log(f"detecting faces in {len(missing):,} photos{again}")
        files = workspace.repository.locate(commit, source, missing)
        progress = progress_lines(log, "aligned")
        networks, config = detector_networks(workspace, detector), detector_config(detector)
        align_photos(files, store, networks, config, max_megapixels, workspace.settings.cores, progress, every_face, ray_cluster(log))
        detected += len(missing)
        missing, found = unaligned(store, missing, max_megapixels)
        facts |= found
    return Alignment(detected, within(facts, max_megapixels))


def align_dataset(workspace: Workspace, commit: str, dataset: Artifact, log: Log) -> Artifact:
    """The artifact with the subject's face of every photo of the manifest; unusable photos are listed with their reasons."""
    params = workspace.params(commit)
    detector = detector_fingerprint(workspace, params.detector)
    name = fingerprint(dataset.fingerprint, detector, step_version("aligned_faces"))

    def fill(directory: Path) -> dict[str, object]:
        photos = Manifest.read(dataset.directory / "manifest.csv").photos
        started = monotonic()
        alignment = _align(workspace, commit, photos, params, log)
        seconds, detected, facts = monotonic() - started, alignment.detected, alignment.facts
        claimed = {photo.md5: {other.identity for other in group} for group in duplicates.exact(photos) for photo in group}
        rows: list[tuple[Any, ...]] = []
        faces: list[Photo] = []
        seen: set[tuple[str, str]] = set()
        for photo in photos:
            fact = facts[photo.md5]
            status, reason = fact["status"], fact["reason"]
            if photo.md5 in claimed:
                status, reason = "contradiction", "the same file stands under " + ", ".join(sorted(claimed[photo.md5] - {photo.identity}))
            elif (photo.identity, photo.md5) in seen:
                status, reason = "repeated", "the same file stands twice under this person"
            seen.add((photo.identity, photo.md5))
            rows.append((photo.path, photo.md5, photo.identity, photo.split, status, fact["faces"], reason))
            if status == "face":
                faces.append(photo)
        write_rows(directory / "faces.csv", ("path", "md5", "identity", "split", "status", "faces", "reason"), rows)
        status = Counter(row[4] for row in rows)
        unusable = [row for row in rows if row[4] not in ("face", "repeated")]
        turned = sorted(photo.path for photo in faces if facts[photo.md5].get("quarter_turns"))
        without_face = sorted({photo.identity for photo in photos} - {photo.identity for photo in faces})
        _write_sheets(workspace, commit, params, faces, unusable, directory)
        return {
            "photos": len(photos),
            "found": status["face"],
            "none": status["no_face"],
            "several": sum(fact["faces"] > 1 for fact in facts.values()),
            "turned": len(turned),
            "turned_examples": turned[:LISTED],
            "unusable": status["unusable"],
            "contradictions": status["contradiction"],
            "repeated": status["repeated"],
            "people_without_face": len(without_face),
            "people_without_face_examples": without_face[:LISTED],
            "rejected_examples": {row[0]: row[6] for row in unusable[:LISTED]},
            "rejected_rate": round(len(unusable) / len(photos), 6),
            "detected_now": detected,
            "photos_a_second": round(detected / seconds, 1) if detected else 0.0,
            "detector": detector,
        }

    made = workspace.home.artifacts.make("aligned_faces", name, fill)
    if made.reused:  # its crop store is opened, which counts as use, and filled if it was removed
        try:
            _align(workspace, commit, Manifest.read(dataset.directory / "manifest.csv").photos, params, log)
        except UnreachableError as error:
            log(f"{error} The list of faces stays, without all of its crops.")
    return made


def _align(workspace: Workspace, commit: str, photos: Sequence[Photo], params: Params, log: Log) -> Alignment:
    several = consensus_photos(params.detector, ((photo.md5, photo.identity) for photo in photos))
    md5s = [photo.md5 for photo in photos]
    return align(workspace, commit, PHOTOS, md5s, params.detector, params.photos.max_megapixels, log, several)


def read_photos(aligned: Artifact) -> list[Photo]:
    """All photos of the data set, also those without a usable face, in path order."""
    rows = listed_photos(aligned, "path", "md5", "identity", "split")
    return [Photo(path, md5, identity, split_name(split)) for path, md5, identity, split in rows]


def listed_photos(aligned: Artifact, *fields: str) -> Iterator[tuple[str, ...]]:
    """These columns of all photos of the data set, in path order. Without a column `crop` it is the first choice's."""
    with open(aligned.directory / "faces.csv", encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        header = next(rows)
        places = [header.index("md5" if field == "crop" and field not in header else field) for field in fields]
        yield from map(itemgetter(*places), rows)


def read_faces(aligned: Artifact, *splits: str, people: Collection[str] | None = None) -> list[Face]:
    """The photos with a usable face, in path order; of the named splits, or of all.

    Those of people who are SEEN belong to no split. people: those whose photos are read; None for all.
    """
    return [Face(path, md5, intern(identity), intern(split), crop) for path, md5, identity, split, crop in _faces(aligned, splits, people)]


def faces_in_columns(aligned: Artifact, *splits: str) -> Rows[Face]:
    """The same for millions of photos."""
    return Rows.of(Face, ("path", "md5", "identity", "split", "crop_key"), _faces(aligned, splits, None), repeated=("identity", "split"))


def _faces(aligned: Artifact, splits: Collection[str], people: Collection[str] | None) -> Iterator[tuple[str, ...]]:
    """Yields path, md5, identity, split and crop of the faces."""
    for *face, status in listed_photos(aligned, "path", "md5", "identity", "split", "crop", "status"):
        is_wanted = (status == "face" and (not splits or face[3] in splits)) or (status == SEEN and not splits)
        if is_wanted and (people is None or face[2] in people):
            yield tuple(face)


def labels_of(faces: Sequence[Face]) -> list[int]:
    """The label of each face: its person's rank by name among the people of these faces."""
    people = {identity: label for label, identity in enumerate(sorted({face.identity for face in faces}))}
    return [people[face.identity] for face in faces]


def _write_sheets(
    workspace: Workspace, commit: str, params: Params, faces: list[Photo], unusable: list[tuple[Any, ...]], directory: Path
) -> None:
    size = params.detector.image_size
    sample = faces[:: max(1, len(faces) // SHEET)][:SHEET]
    captions = {photo.md5: photo.identity for photo in sample}
    entries = {entry.key: entry.blob for entry in crop_store(workspace, params.detector).entries(captions)}
    crops = [(np.frombuffer(entries[photo.md5] or b"", np.uint8).reshape(size, size, 3), photo.identity) for photo in sample]
    (directory / "sample.jpg").write_bytes(contact_sheet(crops))
    rejected = []
    files = workspace.repository.locate(commit, PHOTOS, (row[1] for row in unusable[:SHEET]))
    for path, md5, _, _, _, _, reason in unusable[:SHEET]:
        try:
            image = decode(files[md5].read_bytes(), params.photos.max_megapixels)
        except UnusablePhoto:
            image = np.full((size, size, 3), 60, np.uint8)
        rejected.append((image, f"{Path(path).name}: {reason}"))
    (directory / "rejected.jpg").write_bytes(contact_sheet(rejected))
