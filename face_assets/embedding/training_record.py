"""The record of a training in the bundle of a release: the photos that its embedder learned from, and how it was trained.

A commit that keeps the embedder of an earlier release carries the record on, so it always tells of the embedder beside it.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from face_assets.core.files import link_or_copy, read_json, write_json
from face_assets.core.tables import write_rows
from face_assets.detection.steps import Face, read_faces
from face_assets.storage.artifacts import Artifact

SUMMARY, LEARNED = "training.json", "learned_from.csv"
FIELDS = ("identity", "md5")
OF_A_COMMIT = ("reason", "recipe", "considered", "kept", "seconds", "training_seconds", "samples_a_second")
"""Facts of an embedder's artifact that are of the commit, or of the time this machine took, and not of the training: a training that was
killed and resumed gives the same record."""


@dataclass(frozen=True)
class TrainingRecord:
    """A training. learned: (identity, md5) of each photo of the train split that was trained on; summary: facts of the training."""

    learned: frozenset[tuple[str, str]]
    summary: dict[str, Any]

    @property
    def people(self) -> frozenset[str]:
        """The people of whom the embedder learned."""
        return frozenset(identity for identity, _ in self.learned)


def write_record(embedder: Artifact, aligned: Artifact, made: Mapping[str, Any], directory: Path) -> None:
    """Writes the record of an embedder into a bundle; nothing for starting weights.

    aligned: the faces that it was trained on, unless it is kept; made: commit and time, for an artifact of earlier versions without them.
    """
    if (embedder.directory / SUMMARY).is_file():
        for name in (SUMMARY, LEARNED):
            link_or_copy(embedder.directory / name, directory / name)
    elif embedder.summary["epochs"]:
        facts = {name: value for name, value in embedder.summary.items() if name not in OF_A_COMMIT}
        write_json(directory / SUMMARY, {**made, **facts})
        write_rows(directory / LEARNED, FIELDS, sorted(photos_of(read_faces(aligned, "train"))))


def read_record(directory: Path) -> TrainingRecord | None:
    """The record in a bundle; None where it has none: starting weights, or a release of an earlier version."""
    if not (directory / SUMMARY).is_file() or not (directory / LEARNED).is_file():
        return None
    with open(directory / LEARNED, encoding="utf-8", newline="") as file:
        learned = frozenset((row["identity"], row["md5"]) for row in csv.DictReader(file))
    return TrainingRecord(learned, read_json(directory / SUMMARY)) if learned else None


def photos_of(faces: Iterable[Face]) -> set[tuple[str, str]]:
    """(identity, md5) of faces."""
    return {(face.identity, face.md5) for face in faces}
