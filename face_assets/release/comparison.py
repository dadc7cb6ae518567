"""Comparison of two releases, or of any two evaluated commits: figures, curves, parameters, data, and pairs that became worse."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from face_assets.core.errors import UserError
from face_assets.core.files import read_json
from face_assets.core.identifiers import VERSION
from face_assets.core.params import current_names
from face_assets.dataset.steps import PHOTOS
from face_assets.evaluation.group_figures import figure_cell
from face_assets.evaluation.hardest_pairs import Regression, read_pairs, worst_regressions
from face_assets.evaluation.stress_table import name_of, rate_cell
from face_assets.gallery.people import People
from face_assets.registry.artifact_references import artifact_of
from face_assets.registry.releases import Release
from face_assets.registry.workspace import Workspace
from face_assets.storage.artifacts import Artifact

MOST_REGRESSIONS = 20
LEAST_LOSS = 0.05
"""Loss of score from which a pair became worse that is no new mistake: less than that moves with every training."""
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
    """A release, or the evaluation of a commit, with its test data and figures.

    name: its version, or the commit as it was named; release: None for a commit without one; commit: the evaluated one; directory: the
    files of the evaluation; thresholds: of verification and identification, the latter None without a gallery; recognition: failures to
    acquire and rates of identification, empty in earlier bundles; photos: paths of the test photos, None in bundles of earlier versions;
    groups: attribute → group → facts; stress: rows of the stress table; both empty without any.
    """

    name: str
    release: Release | None
    commit: str
    directory: Path
    dataset_version: str
    evaluation: Mapping[str, Any]
    thresholds: tuple[float, float | None]
    parameters: Mapping[str, Any]
    photos: frozenset[str] | None
    groups: Mapping[str, Mapping[str, Any]]
    recognition: Mapping[str, float | None] = field(default_factory=dict)
    stress: Sequence[Mapping[str, Any]] = ()
    people_enrolled: int | None = None


@dataclass(frozen=True)
class DataChange:
    """Photos and people that the second commit adds, removes and files under another name. moved: path → path; people: by name."""

    added: int
    removed: int
    moved: Mapping[str, str]
    people_added: Sequence[str]
    people_removed: Sequence[str]


@dataclass(frozen=True)
class Row:
    """A figure of both sides; None if one has no such figure."""

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
    """Comparison of the second side with the first. data: None where it is not known; notes: limits of the comparison, in sentences."""

    first: Side
    second: Side
    rows: list[Row]
    groups: list[GroupRow]
    parameters: dict[str, tuple[Any, Any]]
    regressions: list[Regression]
    notes: list[str]
    stress: list[StressRow] = field(default_factory=list)
    data: DataChange | None = None


def compare(workspace: Workspace, first: str, second: str) -> Comparison:
    """Compares two releases by version, or commits by any name of git's, such as branches.

    Raises UserError if a bundle is not available, or a commit was evaluated neither on this machine nor for a release.
    """
    old, new = (side_of(workspace, name) for name in (first, second))
    regressions, notes = _regressions(old, new)
    parameters = _changed(old.parameters, new.parameters)
    groups, stress = group_rows(old.groups, new.groups), stress_rows(old.stress, new.stress)
    try:
        data = data_change(workspace, old.commit, new.commit)
    except UserError as error:
        data = None
        notes.append(f"The photos of both commits cannot be compared: {error}")
    return Comparison(old, new, _rows(old, new), groups, parameters, regressions, notes, stress, data)


def side_of(workspace: Workspace, name: str) -> Side:
    """A release by its version, with or without the v; or else the evaluation of a commit. Raises UserError."""
    version = name if name.startswith("v") else f"v{name}"
    if VERSION.fullmatch(version):
        return _of_release(workspace, workspace.releases.get(version))
    commit = workspace.repository.resolve(name)
    evaluation = artifact_of(workspace, "embedder_evaluation", commit)
    if evaluation:
        return _of_commit(workspace, commit[:12] if name == commit else name, commit, evaluation)
    release = next((one for one in reversed(workspace.releases.all()) if commit in (one.trained_commit, one.commit)), None)
    if release:
        return _of_release(workspace, release)
    raise UserError(
        f"{name} (commit {commit[:12]}) was not evaluated on this machine, and no release was made of it: "
        f"`face-assets run --commit {commit[:12]} --until evaluation`."
    )


def _of_release(workspace: Workspace, release: Release) -> Side:
    bundle = workspace.releases.bundle(release)
    recognizer, provenance = read_json(bundle / "recognizer.json"), read_json(bundle / "provenance.json")
    return _side(
        name=release.version,
        release=release,
        commit=release.trained_commit,
        directory=bundle,
        dataset_version=provenance["dataset_version"],
        thresholds=(recognizer["verification_threshold"], recognizer["identification_threshold"]),
        parameters=current_names(provenance["parameters"]),
        people_enrolled=release.metrics.get("people_enrolled"),
    )


def _of_commit(workspace: Workspace, name: str, commit: str, evaluation: Artifact) -> Side:
    dataset, gallery = (artifact_of(workspace, asset, commit) for asset in ("dataset_version", "face_gallery"))
    return _side(
        name=name,
        release=None,
        commit=commit,
        directory=evaluation.directory,
        dataset_version=dataset.summary["dataset_version"] if dataset else "unknown",
        thresholds=(evaluation.summary["verification_threshold"], gallery.summary["identification_threshold"] if gallery else None),
        parameters=workspace.params(commit).model_dump(mode="json"),
        people_enrolled=gallery.summary["people"] if gallery else None,
    )


def _side(directory: Path, **facts: Any) -> Side:
    """The side with the figures in its folder."""
    evaluation = read_json(directory / "evaluation.json")
    recognized = evaluation.get("recognition", {}).get("trained", {})
    listed, grouped, stressed = (directory / name for name in ("test_photos.txt", "groups.json", "stress.json"))
    return Side(
        directory=directory,
        evaluation=evaluation["trained"],
        recognition={name: recognized[key] for key, name in RECOGNITION.items() if key in recognized},
        photos=frozenset(listed.read_text(encoding="utf-8").splitlines()) if listed.is_file() else None,
        groups=read_json(grouped) if grouped.is_file() else {},
        stress=read_json(stressed)["rows"].get("trained", ()) if stressed.is_file() else (),
        **facts,
    )


def data_change(workspace: Workspace, first: str, second: str) -> DataChange:
    """The photos and people by which photos.dvc of the second commit differs from that of the first. Raises UserError."""
    old, new = (people_at(workspace, commit) for commit in (first, second))
    before, after = ({md5: path for path, md5 in people.files.items()} for people in (old, new))
    both = before.keys() & after.keys()
    moved = {before[md5]: after[md5] for md5 in sorted(both, key=before.__getitem__) if _folder(before[md5]) != _folder(after[md5])}
    return DataChange(
        added=len(after) - len(both),
        removed=len(before) - len(both),
        moved=moved,
        people_added=sorted(new.names[key] for key in new.names.keys() - old.names.keys()),
        people_removed=sorted(old.names[key] for key in old.names.keys() - new.names.keys()),
    )


def people_at(workspace: Workspace, commit: str) -> People:
    """The people of photos.dvc at a commit."""
    return People.of(workspace.repository.files(commit, PHOTOS)).only_photos()


def _folder(path: str) -> str:
    return path.partition("/")[0]


def _figures(side: Side) -> dict[str, float]:
    found = {name: float(side.evaluation[name]) for name in FIGURES if side.evaluation[name] is not None}
    found |= {f"TAR at FAR {point['far']:g}": point["tar"] for point in side.evaluation["tar"] if point["tar"] is not None}
    found |= {name: float(value) for name, value in side.recognition.items() if value is not None}
    found |= {"threshold of verification": side.thresholds[0]}
    found |= {} if side.thresholds[1] is None else {"threshold of identification": side.thresholds[1]}
    found |= {f"{kind} pairs": float(side.evaluation[kind]) for kind in ("genuine", "impostor")}
    found |= {} if side.people_enrolled is None else {"people enrolled": float(side.people_enrolled)}
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


def _regressions(old: Side, new: Side) -> tuple[list[Regression], list[str]]:
    without = [side.name for side in (old, new) if side.photos is None]
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
        [pair for pair in read_pairs(side.directory / "pairs.csv") if pair.first in shared and pair.second in shared] for side in (old, new)
    ]
    return worst_regressions(before, after, (old.thresholds[0], new.thresholds[0]), MOST_REGRESSIONS, LEAST_LOSS), notes
