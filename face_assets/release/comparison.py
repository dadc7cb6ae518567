"""Comparison of two releases by their bundles: figures, curves, parameters, and pairs that became worse."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from face_assets.core.files import read_json
from face_assets.core.params import current_names
from face_assets.evaluation.group_figures import figure_cell
from face_assets.evaluation.hardest_pairs import Regression, read_pairs, worst_regressions
from face_assets.evaluation.stress_table import name_of, rate_cell
from face_assets.registry.releases import Release
from face_assets.registry.workspace import Workspace

MOST_REGRESSIONS = 20
FIGURES = ("auc", "accuracy", "accuracy_std", "eer")
RECOGNITION = {
    "failures_to_acquire": "photos without a usable face",
    "tar": "TAR at the gate's threshold",
    "far": "FAR there",
    "fnir": "FNIR at the gate's threshold",
    "fpir": "FPIR there",
}
GROUP_FIGURES = ("accept_rate", "false_accept_rate")


@dataclass(frozen=True)
class Side:
    """One release with its test data and figures. recognition: failures to acquire and rates of identification, empty in earlier bundles.

    photos: ids of the test photos, None in bundles of earlier versions; groups: attribute → group → facts, empty without groups.
    stress: rows of the stress table, empty without one and in bundles of earlier versions.
    """

    release: Release
    dataset_version: str
    evaluation: Mapping[str, Any]
    thresholds: tuple[float, float]
    parameters: Mapping[str, Any]
    photos: frozenset[str] | None
    groups: Mapping[str, Mapping[str, Any]]
    recognition: Mapping[str, float | None] = field(default_factory=dict)
    stress: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Row:
    """A figure of both releases; None if one has no such figure."""

    name: str
    first: float | None
    second: float | None


@dataclass(frozen=True)
class GroupRow:
    """A figure of a group in both releases, as text with its interval; "" if one has no such group."""

    attribute: str
    group: str
    figure: str
    first: str
    second: str


@dataclass(frozen=True)
class StressRow:
    """A row of the stress table in both releases: TAR and failures to acquire as text with intervals; "" where one has no such row."""

    condition: str
    tar: tuple[str, str]
    failures: tuple[str, str]


@dataclass(frozen=True)
class Comparison:
    """Comparison of the second release with the first. notes: limits of the comparison, in sentences."""

    first: Side
    second: Side
    rows: list[Row]
    groups: list[GroupRow]
    parameters: dict[str, tuple[Any, Any]]
    regressions: list[Regression]
    notes: list[str]
    stress: list[StressRow] = field(default_factory=list)


def compare(workspace: Workspace, first: str, second: str) -> Comparison:
    """Compares two registered versions. Raises UserError if one is not registered or its bundle is not available."""
    bundles = [workspace.releases.bundle(workspace.releases.get(version)) for version in (first, second)]
    sides = [_side(workspace.releases.get(version), bundle) for version, bundle in zip((first, second), bundles, strict=True)]
    old, new = sides
    regressions, notes = _regressions(old, new, *bundles)
    parameters = _changed(old.parameters, new.parameters)
    groups, stress = group_rows(old.groups, new.groups), stress_rows(old.stress, new.stress)
    return Comparison(old, new, _rows(old, new), groups, parameters, regressions, notes, stress)


def _side(release: Release, bundle: Path) -> Side:
    evaluation = read_json(bundle / "evaluation.json")
    recognized = evaluation.get("recognition", {}).get("trained", {})
    recognizer, provenance = read_json(bundle / "recognizer.json"), read_json(bundle / "provenance.json")
    listed, grouped, stressed = (bundle / name for name in ("test_photos.txt", "groups.json", "stress.json"))
    return Side(
        release=release,
        dataset_version=provenance["dataset_version"],
        evaluation=evaluation["trained"],
        thresholds=(recognizer["verification_threshold"], recognizer["identification_threshold"]),
        parameters=current_names(provenance["parameters"]),
        recognition={name: recognized[key] for key, name in RECOGNITION.items() if key in recognized},
        photos=frozenset(listed.read_text(encoding="utf-8").splitlines()) if listed.is_file() else None,
        groups=read_json(grouped) if grouped.is_file() else {},
        stress=read_json(stressed)["rows"].get("trained", ()) if stressed.is_file() else (),
    )


def _figures(side: Side) -> dict[str, float]:
    found = {name: float(side.evaluation[name]) for name in FIGURES if side.evaluation[name] is not None}
    found |= {f"TAR at FAR {point['far']:g}": point["tar"] for point in side.evaluation["tar"] if point["tar"] is not None}
    found |= {name: float(value) for name, value in side.recognition.items() if value is not None}
    found |= {"threshold of verification": side.thresholds[0], "threshold of identification": side.thresholds[1]}
    found |= {f"{kind} pairs": float(side.evaluation[kind]) for kind in ("genuine", "impostor")}
    found |= {"people enrolled": float(side.release.metrics.get("people_enrolled", 0))}
    return found


def _rows(first: Side, second: Side) -> list[Row]:
    old, new = _figures(first), _figures(second)
    return [Row(name, old.get(name), new.get(name)) for name in dict.fromkeys((*old, *new))]


Groups = Mapping[str, Mapping[str, Any]]


def group_rows(first: Groups, second: Groups) -> list[GroupRow]:
    """Rows for the groups of both. first, second: attribute → group → facts, as in groups.json."""
    places = {(attribute, group): None for side in (first, second) for attribute, by_name in side.items() for group in by_name}
    return [
        GroupRow(attribute, group, figure, *(_of_group(side.get(attribute, {}).get(group), figure) for side in (first, second)))
        for attribute, group in places
        for figure in GROUP_FIGURES
    ]


def stress_rows(first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]) -> list[StressRow]:
    """Rows for the conditions of both stress tables, in the order of the second. first, second: rows as in stress.json."""
    old, new = ({name_of(row): row for row in rows} for rows in (first, second))

    def cells(name: str, figure: str) -> tuple[str, str]:
        before, after = (rate_cell(rows[name], figure) if name in rows else "" for rows in (old, new))
        return before, after

    return [StressRow(name, cells(name, "tar"), cells(name, "fta")) for name in dict.fromkeys((*new, *old))]


def _of_group(facts: Mapping[str, Any] | None, figure: str) -> str:
    if facts is None:
        return ""
    return figure_cell(facts["figures"][figure]) if facts["figures"] else f"too few: {facts['with_pairs']} people with two photos"


def _changed(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Parameters that differ, by section.key."""
    old = {f"{section}.{key}": value for section, values in first.items() for key, value in values.items()}
    new = {f"{section}.{key}": value for section, values in second.items() for key, value in values.items()}
    names = dict.fromkeys((*old, *new))
    return {name: (old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)}


def _regressions(old: Side, new: Side, old_bundle: Path, new_bundle: Path) -> tuple[list[Regression], list[str]]:
    without = [side.release.version for side in (old, new) if side.photos is None]
    if old.photos is None or new.photos is None:
        return [], [f"{' and '.join(without)}: made before releases kept their pairs, so none can be compared."]
    notes = []
    shared = old.photos & new.photos
    if old.photos != new.photos:
        notes.append(
            f"The test photos are not the same: {len(old.photos):,} and {len(new.photos):,}, of which {len(shared):,} in both. The figures "
            "are each of their own; pairs are compared where both releases saw both photos."
        )
    before, after = [
        [pair for pair in read_pairs(bundle / "pairs.csv") if pair.first in shared and pair.second in shared]
        for bundle in (old_bundle, new_bundle)
    ]
    return worst_regressions(before, after, (old.thresholds[0], new.thresholds[0]), MOST_REGRESSIONS), notes
