"""Findings of the audit: photos and people whose labels their faces contradict."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

import numpy as np

from face_assets.audit.scores import Floats, Ints
from face_assets.audit.two_names import Pair
from face_assets.core.tables import write_rows
from face_assets.detection.steps import Face

Kind = Literal["wrong_person", "two_names", "two_people", "unlike"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Finding:
    """A photo or a person whose label is in doubt.

    path: of the photo, or the folder of the person for `two_names`; identity: the label; agrees_with: the person whom it fits, "" for
    nobody; own, other: its cosine with the photos of `identity` and with those that it fits, None where there are none.
    """

    path: str
    identity: str
    kind: Kind
    reason: str
    agrees_with: str
    own: float | None
    other: float | None

    def to_json(self) -> dict[str, Any]:
        """JSON-able values."""
        return asdict(self)


def write_findings(path: Path, findings: Iterable[Finding]) -> None:
    """Writes the findings as CSV; None is an empty field."""
    columns = tuple(field.name for field in fields(Finding))
    write_rows(path, columns, ([getattr(finding, name) for name in columns] for finding in findings))


def read_findings(path: Path) -> list[dict[str, Any]]:
    """The findings of a file that `write_findings` wrote, as JSON-able values."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row | {name: float(row[name]) if row[name] else None for name in ("own", "other")} for row in rows]


def wrong_person(face: Face, who: str, own: float, other: float) -> Finding:
    """A photo that shows another known person."""
    return _photo(face, "wrong_person", f"shows {who} and not {face.identity}", who, own, other)


def two_people(face: Face, own: float, other: float) -> Finding:
    """A photo of a second person under a name. other: its cosine with the other photos of that person."""
    reason = f"is one of several photos of {face.identity} that show one person, while most of them show another"
    return _photo(face, "two_people", reason, "", own, other)


def unlike(face: Face, own: float, other: float) -> Finding:
    """A photo that fits neither its name nor another one. other: its cosine with the nearest other person."""
    reason = f"is unlike the other photos of {face.identity} and like nobody's: a stranger, another face, or a poor photo"
    return _photo(face, "unlike", reason, "", own, other)


def one_person(faces: Sequence[Face], people: Ints, own: Floats, pairs: Sequence[Pair]) -> list[Finding]:
    """The people who look like another one: of each pair the name in the later split, else that with fewer photos."""
    photos: dict[int, list[int]] = {}
    for row, label in enumerate(people.tolist()):
        photos.setdefault(label, []).append(row)
    found = []
    for pair in pairs:
        sides = [(SPLITS.index(faces[photos[one][0]].split), -len(photos[one]), one) for one in (pair.one, pair.other)]
        (split, _, kept), (later, _, named) = sorted(sides)
        face, name = faces[photos[named][0]], faces[photos[kept][0]].identity
        where = "" if split == later else f", one in the {SPLITS[split]} split and one in the {SPLITS[later]} split"
        inside = own[photos[named]]
        within = round(float(np.nanmedian(inside)), 4) if np.isfinite(inside).any() else None
        reason = f"looks like the same person as {name}{where}"
        found.append(Finding(str(PurePosixPath(face.path).parent), face.identity, "two_names", reason, name, within, round(pair.score, 4)))
    return found


def _photo(face: Face, kind: Kind, reason: str, agrees_with: str, own: float, other: float) -> Finding:
    return Finding(face.path, face.identity, kind, reason, agrees_with, _rounded(own), _rounded(other))


def _rounded(score: float) -> float | None:
    return round(float(score), 4) if np.isfinite(score) else None
