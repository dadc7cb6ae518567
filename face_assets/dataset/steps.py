"""The steps dataset_version and aligned_faces: from a commit to listed, inspected and cropped photos."""

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from face_assets.core.errors import RefusedError, UnreachableError, UserError
from face_assets.core.fingerprint import fingerprint
from face_assets.core.params import Detector, Params
from face_assets.core.step_versions import code_version
from face_assets.dataset import duplicates
from face_assets.dataset.decoding import UnusablePhoto, decode
from face_assets.dataset.inspection import inspect_photos
from face_assets.dataset.manifest import Manifest, Photo, make_manifest, moved
from face_assets.dataset.photo_folders import LOOSE
from face_assets.detection.alignment import align_photos, unaligned, within
from face_assets.detection.contact_sheet import contact_sheet
from face_assets.registry.workspace import Log, Workspace, detector_config
from face_assets.storage.artifacts import Artifact

PHOTOS = "photos"
SHEET = 40
LISTED = 200
NAMED = 3
SECONDS_A_LINE = 5.0
VERSION_CODE = ("face_assets.dataset.manifest", "face_assets.dataset.duplicates", "face_assets.dataset.inspection")
ALIGN_CODE = ("face_assets.detection.alignment", "face_assets.detection.contact_sheet")


@dataclass(frozen=True)
class Face:
    """A photo with a crop: the rows that training and evaluation use."""

    path: str
    md5: str
    identity: str
    split: str


@dataclass(frozen=True)
class Alignment:
    """How many photos had to be detected, and the facts of every one, by md5, under the limit of megapixels in force."""

    detected: int
    facts: dict[str, dict[str, Any]]


def version_dataset(workspace: Workspace, commit: str, log: Log) -> Artifact:
    """The manifest of the commit's photos, with what is known of each file."""
    params = workspace.params(commit)
    pointer = workspace.repository.pointer(commit, PHOTOS)
    if pointer is None:
        raise UserError(f"photos.dvc is missing at commit {commit[:12]}: track the folder with `dvc add photos` and commit photos.dvc.")
    name = fingerprint(pointer.md5, params.split.fingerprint(), params.photos.fingerprint(), code_version(*VERSION_CODE))

    workspace.repository.dvc_settings(commit)  # the release is pushed by them: what they may not hold is an error of the first step

    def fill(directory: Path) -> dict[str, object]:
        tracked = workspace.repository.files(commit, PHOTOS)
        manifest = make_manifest(((file.path, file.md5) for file in tracked), params.split)
        if not manifest.photos:
            raise RefusedError(
                f"The data set at commit {commit[:12]} is empty: photos.dvc lists {len(tracked)} files, none in a person's folder"
                f"{left_out_text(manifest.notes())}. It needs one folder a person, with that person's photos in it."
            )
        facts = _inspect(workspace, commit, manifest.photos, params, log)
        problems = {photo.path: facts[photo.md5]["problem"] for photo in manifest.photos if "problem" in facts[photo.md5]}
        hashes = {md5: int(fact["hash"], 16) for md5, fact in facts.items() if "hash" in fact}
        exact = duplicates.exact(manifest.photos)
        near = duplicates.near(hashes, manifest.photos, params.photos.near_duplicate_distance)
        manifest.write(directory / "manifest.csv")
        _write_rows(directory / "unreadable.csv", ("path", "problem"), sorted(problems.items()))
        _write_rows(directory / "exact_duplicates.csv", ("paths",), (["; ".join(photo.path for photo in group)] for group in exact))
        _write_rows(
            directory / "near_duplicates.csv", ("path", "other", "bits"), ((one.path, other.path, bits) for one, other, bits in near)
        )
        left_out = [(path, LOOSE) for path in manifest.misplaced]
        left_out += [(path, reason) for reason, paths in manifest.left_out.items() for path in paths]
        _write_rows(directory / "left_out.csv", ("path", "reason"), sorted(left_out))
        people = {split: len(manifest.identities(split)) for split in ("train", "validation", "test")}
        photos = Counter(photo.split for photo in manifest.photos)
        counts = Counter(photo.identity for photo in manifest.photos)
        test_people = {photo.identity for photo in manifest.of("test")}
        return {
            "dataset_version": pointer.md5,
            "photos": len(manifest.photos),
            "people": len(counts),
            "people_with_one_photo": sum(count == 1 for count in counts.values()),
            "photos_by_split": dict(photos),
            "people_by_split": people,
            "test_people_with_pairs": sum(counts[identity] > 1 for identity in test_people),
            "megabytes": round((pointer.size or 0) / 1e6, 3),
            "unreadable": len(problems),
            "unreadable_examples": dict(sorted(problems.items())[:20]),
            "exact_duplicates": len(exact),
            "near_duplicates": len(near),
            "near_duplicate_examples": [[one.path, other.path, bits] for one, other, bits in near[:20]],
            **manifest.notes(),
        }

    return workspace.home.artifacts.make("dataset_version", name, fill)


def left_out_text(facts: Mapping[str, Any]) -> str:
    """The part of a sentence on the files of a folder that are nobody's photos, from a manifest's notes; empty where there are none."""
    examples = {**facts.get("left_out_files_examples", {}), LOOSE: facts.get("misplaced_examples", [])}
    counts = {**facts.get("left_out_files", {}), LOOSE: facts.get("misplaced", 0)}
    named = [f"{count:,} {reason} (such as {examples[reason][0]})" for reason, count in counts.items() if count]
    without = facts.get("people_without_photos", [])
    if without:
        named.append(f"{len(without)} folders without a photo ({', '.join(without[:NAMED])}{', …' if len(without) > NAMED else ''})")
    return f"; left out: {', '.join(named)}" if named else ""


def moved_since_production(workspace: Workspace, dataset: Artifact) -> list[str]:
    """People who are in another split than in the release in production: its figures and theirs are not quite comparable."""
    assignment = workspace.stages.production()
    if assignment is None:
        return []
    with open(workspace.releases.bundle(assignment.release) / "splits.csv", encoding="utf-8", newline="") as file:
        before = {row["identity"]: row["split"] for row in csv.DictReader(file)}
    after = {photo.identity: photo.split for photo in Manifest.read(dataset.directory / "manifest.csv").photos}
    return moved(before, after)


def _inspect(workspace: Workspace, commit: str, photos: list[Photo], params: Params, log: Log) -> dict[str, dict[str, Any]]:
    store = workspace.home.inspections(fingerprint(params.photos.max_megapixels, code_version("face_assets.dataset.decoding")))
    md5s = [photo.md5 for photo in photos]
    missing = store.missing(md5s)
    if missing:
        log(f"inspecting {len(missing):,} photos not seen before of {len(set(md5s)):,}")
        files = workspace.repository.locate(commit, PHOTOS, missing)
        inspect_photos(files, store, params.photos.max_megapixels, workspace.settings.cores, every_few_seconds(log, "inspected"))
    return store.facts(md5s)


def align(
    workspace: Workspace, commit: str, source: str, md5s: Iterable[str], detector: Detector, max_megapixels: float, log: Log
) -> Alignment:
    """Fills the crop store with the photos that it lacks."""
    store, detected = workspace.crops(detector), 0
    missing, facts = unaligned(store, md5s, max_megapixels)
    while missing:  # once, but for a run beside this one that refuses under a lower limit
        log(f"detecting faces in {len(missing):,} photos not seen before")
        files = workspace.repository.locate(commit, source, missing)
        progress = every_few_seconds(log, "aligned")
        align_photos(
            files, store, workspace.detector_networks(), detector_config(detector), max_megapixels, workspace.settings.cores, progress
        )
        detected += len(missing)
        missing, found = unaligned(store, missing, max_megapixels)
        facts |= found
    return Alignment(detected, within(facts, max_megapixels))


def align_dataset(workspace: Workspace, commit: str, dataset: Artifact, log: Log) -> Artifact:
    """The subject's face of every photo of the manifest; what cannot be used is listed with its reason."""
    params = workspace.params(commit)
    detector = workspace.detector_fingerprint(params.detector)
    name = fingerprint(dataset.fingerprint, detector, code_version(*ALIGN_CODE))

    def fill(directory: Path) -> dict[str, object]:
        photos = Manifest.read(dataset.directory / "manifest.csv").photos
        started = monotonic()
        alignment = align(workspace, commit, PHOTOS, (photo.md5 for photo in photos), params.detector, params.photos.max_megapixels, log)
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
        _write_rows(directory / "faces.csv", ("path", "md5", "identity", "split", "status", "faces", "reason"), rows)
        status = Counter(row[4] for row in rows)
        unusable = [row for row in rows if row[4] not in ("face", "repeated")]
        without_face = sorted({photo.identity for photo in photos} - {photo.identity for photo in faces})
        _write_sheets(workspace, commit, params, faces, unusable, directory)
        return {
            "photos": len(photos),
            "found": status["face"],
            "none": status["no_face"],
            "several": sum(fact["faces"] > 1 for fact in facts.values()),
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
            "crops": str(workspace.home.root / "crops" / f"{detector}.sqlite"),
        }

    made = workspace.home.artifacts.make("aligned_faces", name, fill)
    if made.reused:  # the store of its crops is opened, so that it counts as used, and filled where somebody removed it
        md5s = [photo.md5 for photo in Manifest.read(dataset.directory / "manifest.csv").photos]
        if workspace.crops(params.detector).missing(md5s):
            try:
                align(workspace, commit, PHOTOS, md5s, params.detector, params.photos.max_megapixels, log)
            except UnreachableError as error:
                log(f"{error} The list of faces stays, without all of its crops.")
    return made


def read_faces(aligned: Artifact, *splits: str) -> list[Face]:
    """The photos with a usable face, in path order; of the named splits, or of all."""
    with open(aligned.directory / "faces.csv", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["status"] == "face" and (not splits or row["split"] in splits)]
    return [Face(row["path"], row["md5"], row["identity"], row["split"]) for row in rows]


def labels_of(faces: Sequence[Face]) -> list[int]:
    """A number for each face: its person's place among the people of these faces, by name."""
    people = {identity: label for label, identity in enumerate(sorted({face.identity for face in faces}))}
    return [people[face.identity] for face in faces]


def _write_sheets(
    workspace: Workspace, commit: str, params: Params, faces: list[Photo], unusable: list[tuple[Any, ...]], directory: Path
) -> None:
    size = params.detector.image_size
    sample = faces[:: max(1, len(faces) // SHEET)][:SHEET]
    captions = {photo.md5: photo.identity for photo in sample}
    entries = {entry.key: entry.blob for entry in workspace.crops(params.detector).entries(captions)}
    crops = [(np.frombuffer(entries[photo.md5] or b"", np.uint8).reshape(size, size, 3), photo.identity) for photo in sample]
    (directory / "sample.png").write_bytes(contact_sheet(crops))
    rejected = []
    files = workspace.repository.locate(commit, PHOTOS, (row[1] for row in unusable[:SHEET]))
    for path, md5, _, _, _, _, reason in unusable[:SHEET]:
        try:
            image = decode(files[md5].read_bytes(), params.photos.max_megapixels)
        except UnusablePhoto:
            image = np.full((size, size, 3), 60, np.uint8)
        rejected.append((image, f"{Path(path).name}: {reason}"))
    (directory / "rejected.png").write_bytes(contact_sheet(rejected))


def _write_rows(path: Path, header: tuple[str, ...], rows: Iterable[Iterable[object]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def every_few_seconds(log: Log, done_word: str) -> Callable[[int, int], None]:
    """Progress as lines of the log that say how many are `done_word`, and how fast."""
    started = last = monotonic()

    def progress(done: int, whole: int) -> None:
        nonlocal last
        now = monotonic()
        if now - last > SECONDS_A_LINE or done == whole:
            last = now
            log(f"{done_word} {done:,} of {whole:,} photos, {done / max(now - started, 1e-6):,.0f} a second")

    return progress
