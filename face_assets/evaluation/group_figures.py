"""Figures by group, for the attributes file of a commit and the test photos."""

import csv
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from face_assets.core.errors import UserError
from face_assets.core.fingerprint import fingerprint
from face_assets.core.outside_text import shown_in_markdown
from face_assets.core.params import Evaluation
from face_assets.dataset.photo_folders import person_key
from face_assets.evaluation.groups import Group, by_group, composed, read_attributes
from face_assets.evaluation.labelled_photos import LabelledPhotos
from face_assets.registry.workspace import Workspace

if TYPE_CHECKING:
    from face_assets.biometrics.labelled import Labelled


def attributes_digest(workspace: Workspace, commit: str, asked: Evaluation) -> str | None:
    """Digest of the attributes file; None if params name none. Raises UserError if it is missing."""
    return fingerprint(_content(workspace, commit, asked).decode(errors="replace")) if asked.attributes else None


def _content(workspace: Workspace, commit: str, asked: Evaluation) -> bytes:
    assert asked.attributes is not None
    content = workspace.repository.read(commit, asked.attributes)
    if content is None:
        raise UserError(f"evaluation.attributes: {asked.attributes} is not at commit {commit[:12]}: commit it, or name another file.")
    return content


def evaluate_groups(
    workspace: Workspace,
    commit: str,
    asked: Evaluation,
    photos: LabelledPhotos,
    seen: "Labelled",
    threshold: float,
    fars: Sequence[float],
) -> tuple[Mapping[str, list[Group]], list[str]]:
    """Attribute → groups, and sentences about photos without a group; empty if params name no file. seen: the photos' embeddings.

    Raises UserError if the file has none of the test photos.
    """
    if not asked.attributes:
        return {}, []
    where = f"{asked.attributes} at commit {commit[:12]}"
    try:
        key, attributes = read_attributes(_content(workspace, commit, asked), where)
    except csv.Error as error:
        raise UserError(f"{where} is not a CSV file: {error}.") from error
    key_of = person_key if key == "identity" else composed
    keys = [key_of(one) for one in (photos.identities if key == "identity" else photos.paths)]
    found, notes = {}, []
    for attribute, groups in attributes.items():
        by_key = {key_of(one): group for one, group in groups.items()}
        named = [by_key.get(one, "") for one in keys]
        if not any(named):
            raise UserError(f"{where}: the column {attribute!r} names no test photo; its keys must be each photo's {key}.")
        if "" in named:
            notes.append(f"{named.count(''):,} of {len(named):,} test photos are in no group of {attribute}")
        found[attribute] = by_group(seen, named, threshold, fars, asked.seed)
    return found, notes


def groups_markdown(groups: Mapping[str, Mapping[str, dict]], notes: Sequence[str] = ()) -> str:  # type: ignore[type-arg]
    """Tables for the UI and the model card, one for each attribute, from the summary's JSON.

    A sentence below a table names groups that are too small. `notes` of no group are at the end.
    """
    lines: list[str] = []
    for attribute, by_name in groups.items():
        measured = {name: group["figures"] for name, group in by_name.items() if group["figures"]}
        names = list(next(iter(measured.values()), {}))
        lines += [f"**{shown_in_markdown(attribute)}**", ""]
        if measured:
            lines += [f"| group | people | {' | '.join(names)} |", f"| --- | --- |{' --- |' * len(names)}"]
            for name, figures in measured.items():
                cells = " | ".join(figure_cell(figures[figure]) for figure in names)
                lines.append(f"| {shown_in_markdown(name)} | {by_name[name]['people']} | {cells} |")
            lines.append("")
        lines += _listed([group["note"] for group in by_name.values() if group["note"]])
    noted = {group["note"] for by_name in groups.values() for group in by_name.values()}
    return "\n".join([*lines, *_listed([note for note in notes if note not in noted])])


def _listed(notes: Sequence[str]) -> list[str]:
    return [*(f"- {shown_in_markdown(note)}" for note in notes), ""] if notes else []


def figure_cell(figure: Mapping[str, float | None]) -> str:
    """A figure with its interval."""
    if figure["value"] is None:
        return "not measurable"
    return f"{figure['value']:.4f} ({figure['low']:.4f} to {figure['high']:.4f})"
