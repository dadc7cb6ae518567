"""Findings of the audit: photos and people whose labels their faces contradict."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from face_assets.audit.scores import Ints, PhotoScores
from face_assets.core.tables import write_rows

Kind = Literal["wrong_person"]


@dataclass(frozen=True)
class Finding:
    """A photo whose label is in doubt.

    path, identity: of the photo; kind and reason; agrees_with: the person whom it fits best, "" for nobody; own, other: its cosine with the
    other photos of `identity`, and with `agrees_with`, None where there is no such photo.
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


def wrong_people(scores: PhotoScores, people: Ints, names: Sequence[str], paths: Sequence[str]) -> list[Finding]:
    """The photos that are nearer to another person's template than to their own person's other photos, the most certain first.

    people: int64 (n,), places in `names`. The margin own - other orders them.
    """
    suspects = np.flatnonzero(scores.own < scores.other)
    return [
        Finding(
            paths[row],
            names[people[row]],
            "wrong_person",
            f"is nearer to {names[scores.nearest[row]]} than to the other photos of {names[people[row]]}",
            names[scores.nearest[row]],
            round(float(scores.own[row]), 4),
            round(float(scores.other[row]), 4),
        )
        for row in suspects[np.argsort(scores.own[suspects] - scores.other[suspects], kind="stable")]
    ]
