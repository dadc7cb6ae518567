"""The stress table of a candidate, and of the release in production on the same degraded photos."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from face_assets.core.outside_text import shown_in_markdown
from face_assets.core.params import Detector, Params
from face_assets.detection.steps import read_photos
from face_assets.embedding.vectors import engine_vectors
from face_assets.evaluation.degraded_faces import Condition, Probe, degraded_faces, probes_of
from face_assets.evaluation.labelled_photos import LabelledPhotos
from face_assets.registry.workspace import Log, Workspace
from face_assets.storage.artifacts import Artifact

if TYPE_CHECKING:
    from face_assets.biometrics.labelled import Labelled
    from face_assets.biometrics.recognition import OperatingPoint
    from face_assets.evaluation.stress import Row, Sample

CANDIDATE = "trained"
ABOUT_STRESS = (
    "Photos of test people, degraded before the face is looked for, against clean photos of theirs and of others. TAR: share of "
    "comparisons of one person accepted at the gate's threshold; a photo in which the face is not found (FTA) is missed in all of its. "
    "FMR: share of comparisons of two people accepted there.",
    "In brackets intervals of 95 %, with people as the trials. Strengths are of a face of 112 pixels in a window of 250.",
)
"""Sentences above the table."""


@dataclass(frozen=True)
class Tested:
    """A recognizer: its engine's folder and detector, the clean test photos by it, and its thresholds."""

    name: str
    directory: Path
    detector: Detector
    clean: "Labelled"
    point: "OperatingPoint"


@dataclass(frozen=True)
class Beside:
    """The release in production, the candidate's thresholds for the comparison, and which test people it is on, bool (people,)."""

    version: str
    release: Tested
    point: "OperatingPoint"
    kept: np.ndarray


@dataclass(frozen=True)
class StressTable:
    """rows: of the table, by recognizer, as JSON-able values; reasons and notes: of the gate; losses: of rows, beside production."""

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    losses: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """JSON-able values."""
        return {"rows": self.rows, "losses": self.losses, "notes": self.notes}


def stress_table(
    workspace: Workspace, commit: str, aligned: Artifact, photos: LabelledPhotos, candidate: Tested, beside: Beside | None, log: Log
) -> StressTable:
    """The table. Photos are degraded, searched and embedded where their results are not stored yet. photos: of the test people."""
    from face_assets.evaluation import stress

    params = workspace.params(commit)
    asked, conditions = params.evaluation, stress.table_rows(params.evaluation.stress)
    if not conditions:
        return StressTable()
    sample = stress.sample_of(photos, asked.stress, len(read_photos(aligned)))
    if not len(sample.photos):
        reasons = stress.judge_floors([], asked, conditions)
        return StressTable(reasons=reasons, notes=["there is no stress table: no test person has two photos"])
    crop_keys = {face.md5: face.crop_key for face in photos.faces}
    chosen = [photos.md5s[place] for place in sample.photos]
    probes = probes_of(workspace, params.detector, {md5: crop_keys[md5] for md5 in chosen if md5 in crop_keys})
    places = np.array([place for place, md5 in enumerate(chosen) if md5 in crop_keys], np.int64)
    ours = _found(workspace, commit, params, candidate, (places, probes), conditions, log)
    rows = stress.measure(sample, candidate.clean, candidate.point, conditions, ours)
    listed, reasons, notes = {CANDIDATE: rows}, stress.judge_floors(rows, asked, conditions), []
    losses: list[dict[str, Any]] = []
    if beside:
        theirs = _found(workspace, commit, params, beside.release, (places, probes), conditions, log)
        listed["production"] = stress.measure(sample, beside.release.clean, beside.release.point, conditions, theirs)
        now, before = (
            _on_people(sample, one, clean, point, conditions, beside.kept)
            for one, clean, point in (
                (ours, candidate.clean, beside.point),
                (theirs, beside.release.clean, beside.release.point),
            )
        )
        found = stress.losses(now, before, asked)
        reasons += stress.judge_losses(found, beside.version, asked)
        losses = [{"name": name, "now": now, "before": before, "loss": loss.to_json()} for name, (now, before, loss) in found.items()]
        if not found:
            notes.append(f"the stress table is not compared with {beside.version}: it takes {stress.ENOUGH_PEOPLE} people, and a threshold")
    return StressTable({name: [row.to_json() for row in some] for name, some in listed.items()}, reasons, notes, losses)


def _found(
    workspace: Workspace,
    commit: str,
    params: Params,
    tested: Tested,
    probes: tuple[np.ndarray, Sequence[Probe]],
    conditions: Sequence[Condition],
    log: Log,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each condition, places of the probes whose face the recognizer finds, and their embeddings. probes: with their places."""
    places, known = probes
    keys = degraded_faces(workspace, commit, tested.detector, params.photos.max_megapixels, known, conditions, log)
    flat = [key for row in keys for key in row if key]
    vectors = engine_vectors(workspace, tested.directory, tested.detector, flat, log)
    seen = [places[[key is not None for key in row]] for row in keys]
    return list(zip(seen, np.split(vectors, np.cumsum([len(one) for one in seen])[:-1]), strict=True))


def _on_people(
    sample: "Sample",
    found: Sequence[tuple[np.ndarray, np.ndarray]],
    clean: "Labelled",
    point: "OperatingPoint",
    conditions: Sequence[Condition],
    kept: np.ndarray,
) -> "list[Row]":
    """The rows on the probes of some people, bool (people,)."""
    from face_assets.evaluation import stress

    staying = kept[clean.people[sample.photos]]
    numbers = np.cumsum(staying) - 1
    some = [(numbers[places[staying[places]]], vectors[staying[places]]) for places, vectors in found]
    return stress.measure(sample.of_probes(staying), clean, point, conditions, some)


def stress_markdown(rows: Mapping[str, Sequence[Mapping[str, Any]]], far: float) -> str:
    """The table for the UI and the model card."""
    if not rows:
        return ""
    names = sorted(rows, key=lambda name: name != CANDIDATE)  # JSON files are sorted by name
    header = ["condition", "photos", *(f"{name}: {figure}" for name in names for figure in (f"TAR at FAR {far:g}", "FTA", "FMR"))]
    lines = [header, ["---"] * len(header)]
    for place, row in enumerate(rows[names[0]]):
        cells = [name_of(row), f"{row['photos']:,} of {row['people']:,} people"]
        lines.append([*cells, *(cell for name in names for cell in _cells(rows[name][place]))])
    return "\n".join(f"| {' | '.join(shown_in_markdown(cell) for cell in line)} |" for line in lines)


def name_of(row: Mapping[str, Any]) -> str:
    """The name of a row."""
    from face_assets.core.degradations import row_name

    return row_name(row["condition"], row["strength"])


def _cells(row: Mapping[str, Any]) -> list[str]:
    return [
        rate_cell(row, "tar"),
        rate_cell(row, "fta"),
        "cannot be told" if row["fmr"] is None else f"{row['fmr']:.2%}",
    ]


def rate_cell(row: Mapping[str, Any], figure: str) -> str:
    """A rate with its interval, such as `91 % (80 to 97)`."""
    if row[figure] is None:
        return "cannot be told"
    return f"{100 * row[figure]:.1f} % ({100 * row[f'{figure}_low']:.0f} to {100 * row[f'{figure}_high']:.0f})"
