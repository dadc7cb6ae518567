"""The step dataset_version, which lists and inspects the photos of a commit."""

import csv
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from face_assets.core.batches import batched
from face_assets.core.errors import RefusedError, UserError
from face_assets.core.fingerprint import fingerprint
from face_assets.core.params import SCRATCH, Params
from face_assets.core.progress import progress_lines
from face_assets.core.rows import BLOCK, Rows
from face_assets.core.step_versions import step_version
from face_assets.core.tables import write_rows
from face_assets.dataset import duplicates
from face_assets.dataset.enough_people import plan_for, planned
from face_assets.dataset.file_kinds import NOW_READ
from face_assets.dataset.inspection import inspect_photos
from face_assets.dataset.manifest import Manifest, Photo, make_manifest, moved
from face_assets.dataset.photo_folders import LOOSE
from face_assets.registry.workspace import Log, Workspace
from face_assets.storage.artifacts import Artifact
from face_assets.storage.content_store import ContentStore

PHOTOS = "photos"
LISTED = 200
NAMED = 3
AT_ONCE = 1_000_000
"""New photos whose files are located at a time."""


def version_dataset(workspace: Workspace, commit: str, log: Log) -> Artifact:
    """The artifact with the manifest of the commit's photos and the inspection of each file.

    Its fingerprint is that of the manifest: parameters that decide whether a training takes place change it only where they change the
    splits. The name of a manifest that is trained on is the one that earlier versions gave it, so what they made of it stays in use.
    """
    params = workspace.params(commit)
    pointer = workspace.repository.pointer(commit, PHOTOS)
    if pointer is None:
        raise UserError(f"photos.dvc is missing at commit {commit[:12]}, as are pointers below photos/: `dvc add photos`, and commit.")
    decide_training = (params.train.epochs > 0, params.train.min_people, params.embedder.weights == SCRATCH)
    listed = fingerprint(pointer.md5, params.split.fingerprint(), params.photos.fingerprint(), step_version("dataset_version"))

    workspace.repository.dvc_settings(commit)  # the release is pushed by them, so the first step already reports an error in them

    def fill(directory: Path) -> dict[str, object]:
        tracked = workspace.repository.files_in_columns(commit, PHOTOS)
        manifest, files = make_manifest(tracked, params.split), len(tracked)
        del tracked
        if not manifest.photos:
            raise RefusedError(
                f"The data set at commit {commit[:12]} is empty: photos.dvc lists {files} files, none in a person's folder"
                f"{left_out_text(manifest.notes())}. It needs one folder a person, with that person's photos in it."
            )
        plan = plan_for(manifest.counts(), params)
        manifest = planned(manifest, plan)
        log(plan.refusal or plan.reason)
        hashes, problems = _inspect(workspace, commit, manifest.photos, params, log)
        exact = duplicates.exact(manifest.photos)
        searched = duplicates.search(manifest.photos, hashes, params.photos.near_duplicate_distance)
        near = searched.pairs
        manifest.write(directory / "manifest.csv")
        write_rows(directory / "unreadable.csv", ("path", "problem"), sorted(problems.items()))
        write_rows(directory / "exact_duplicates.csv", ("paths",), (["; ".join(photo.path for photo in group)] for group in exact))
        write_rows(
            directory / "near_duplicates.csv", ("path", "other", "bits"), ((one.path, other.path, bits) for one, other, bits in near)
        )
        left_out = [(path, LOOSE) for path in manifest.misplaced]
        left_out += [(path, reason) for reason, paths in manifest.left_out.items() for path in paths]
        write_rows(directory / "left_out.csv", ("path", "reason"), sorted(left_out))
        people = {split: len(manifest.identities(split)) for split in ("train", "validation", "test")}
        counts = manifest.counts()
        test_people = manifest.identities("test")
        return {
            "dataset_version": pointer.md5,
            "photos": len(manifest.photos),
            "people": len(counts),
            "people_with_one_photo": sum(count == 1 for count in counts.values()),
            "photos_by_split": manifest.photos_by_split(),
            "people_by_split": people,
            "test_people_with_pairs": sum(counts[identity] > 1 for identity in test_people),
            "training": asdict(plan),
            "megabytes": round((pointer.size or 0) / 1e6, 3),
            "unreadable": len(problems),
            "unreadable_examples": dict(sorted(problems.items())[:20]),
            "exact_duplicates": len(exact),
            "near_duplicates": len(near),
            "near_duplicates_not_compared": searched.not_compared,
            "near_duplicate_examples": [[one.path, other.path, bits] for one, other, bits in near[:20]],
            **manifest.notes(),
        }

    name = fingerprint(listed, *decide_training, step_version("training_plan"))
    made = workspace.home.artifacts.make("dataset_version", name, fill)
    return replace(made, fingerprint=listed if made.summary["training"]["trains"] else fingerprint(listed, "all test"))


def left_out_text(facts: Mapping[str, Any]) -> str:
    """Part of a message on the files that are no photos of a person, from a manifest's notes; empty where there are none.

    Notes that were read from the event log have no paths and no names.
    """
    by_reason, loose = facts.get("left_out_files_examples"), facts.get("misplaced_examples")
    examples = {**by_reason, LOOSE: loose} if isinstance(by_reason, Mapping) else {}
    counts = {**facts.get("left_out_files", {}), LOOSE: facts.get("misplaced", 0)}
    named = [_with_example(f"{count:,} {reason}", examples.get(reason)) for reason, count in counts.items() if count]
    without = facts.get("people_without_photos", [])
    if isinstance(without, str):
        named += [f"folders without a photo: {without}"] if without != "none" else []
    elif without:
        named.append(f"{len(without)} folders without a photo ({', '.join(without[:NAMED])}{', …' if len(without) > NAMED else ''})")
    return f"; left out: {', '.join(named)}" if named else ""


def _with_example(text: str, paths: Sequence[str] | None) -> str:
    return f"{text} (such as {paths[0]})" if paths else text


def moved_since_production(workspace: Workspace, dataset: Artifact) -> list[str]:
    """The people whose split differs from that of the release in production, which makes figures less comparable.

    Nobody where that release was not trained: no figure of it is of people from whom it learned.
    """
    assignment = workspace.stages.production()
    if assignment is None:
        return []
    with open(workspace.releases.bundle(assignment.release) / "splits.csv", encoding="utf-8", newline="") as file:
        before = {row["identity"]: row["split"] for row in csv.DictReader(file)}
    if set(before.values()) == {"test"}:
        return []
    after = {photo.identity: photo.split for photo in Manifest.read(dataset.directory / "manifest.csv").photos}
    return moved(before, after)


def _inspect(
    workspace: Workspace, commit: str, photos: Rows[Photo], params: Params, log: Log
) -> tuple[npt.NDArray[np.uint64], dict[str, str]]:
    """The perceptual hash of each photo, uint64 (n,), 0 for one without; and the problem of each path that is unusable."""
    store = workspace.home.inspections(fingerprint(params.photos.max_megapixels, step_version("inspection")))
    seen = Inspected(photos)
    missing = seen.read(store, range(len(photos)), NOW_READ)
    store.drop(seen.again)
    if missing:
        wanted = list(dict.fromkeys([*seen.again, *(photos[row].md5 for row in missing)]))
        log(f"inspecting {len(wanted):,} new photos of {len(np.unique(photos.text('md5'))):,}")
        for md5s in batched(wanted, AT_ONCE):
            files = workspace.repository.locate(commit, PHOTOS, md5s)
            inspect_photos(files, store, params.photos.max_megapixels, workspace.settings.cores, progress_lines(log, "inspected"))
        left = seen.read(store, missing)
        assert not left, "every photo was inspected"
    return seen.hashes, {photos[row].path: problem for row, problem in sorted(seen.problems.items())}


class Inspected:
    """Facts of photos by row. hashes: uint64 (n,); problems: row → sentence; again: md5s of which problems are not believed."""

    def __init__(self, photos: Rows[Photo]):
        self.photos = photos
        self.hashes: npt.NDArray[np.uint64] = np.zeros(len(photos), np.uint64)
        self.problems: dict[int, str] = {}
        self.again: dict[str, None] = {}

    def read(self, store: ContentStore, rows: Iterable[int], doubted: Collection[str] = ()) -> list[int]:
        """Reads the facts of rows, and returns those that the store has none of. doubted: problems that are looked for again."""
        missing = []
        for block in batched(rows, BLOCK):
            md5s = list(self.photos.at(np.array(block)).each("md5"))
            facts = dict(store.each_fact(md5s))
            for row, md5 in zip(block, md5s, strict=True):
                fact = facts.get(md5)
                problem = fact and fact.get("problem")
                if problem in doubted:
                    self.again[md5] = None
                if fact is None or problem in doubted:
                    missing.append(row)
                elif problem:
                    self.problems[row] = problem
                elif "hash" in fact:
                    self.hashes[row] = int(fact["hash"], 16)
        return missing
