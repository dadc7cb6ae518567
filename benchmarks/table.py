"""A row of the table, and the table as Markdown."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """ours and reference in `unit`; target: what ours / reference should reach, or stay below where `unit` is a time."""

    what: str
    ours: float
    reference: float
    unit: str
    target: float
    note: str = ""

    @property
    def ratio(self) -> float:
        """Ours by the reference."""
        return self.ours / self.reference

    @property
    def is_time(self) -> bool:
        """Whether less is better."""
        return self.unit in ("s", "ms")

    @property
    def reached(self) -> bool:
        """Whether the target was reached in this run."""
        return self.ratio <= self.target if self.is_time else self.ratio >= self.target


def write(rows: Iterable[Row], path: Path, heading: str) -> None:
    """Writes the table, under a heading of Markdown."""
    lines = [heading, "", "| what | ours | reference | ratio | target | |", "| --- | ---: | ---: | ---: | ---: | --- |"]
    for row in rows:
        sign = "≤" if row.is_time else "≥"
        said = "" if row.reached else "**missed** "
        lines.append(
            f"| {row.what} | {row.ours:,.3g} {row.unit} | {row.reference:,.3g} {row.unit} | {row.ratio:.2f} | {sign} {row.target:g} "
            f"| {said}{row.note} |"
        )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
