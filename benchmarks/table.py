"""A row of the table, and the table as Markdown."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """ours and reference in `unit`; target: what ours / reference should reach, or stay below where less is better."""

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
    def is_cost(self) -> bool:
        """True where less is better."""
        return self.unit in ("s", "ms", "MB")

    @property
    def reached(self) -> bool:
        """True where the target was reached in this run."""
        return self.ratio <= self.target if self.is_cost else self.ratio >= self.target


def table(rows: Iterable[Row]) -> str:
    """The rows as a table of Markdown."""
    lines = ["| what | ours | reference | ratio | target | |", "| --- | ---: | ---: | ---: | ---: | --- |"]
    for row in rows:
        sign = "≤" if row.is_cost else "≥"
        said = "" if row.reached else "**missed** "
        lines.append(
            f"| {row.what} | {row.ours:,.3g} {row.unit} | {row.reference:,.3g} {row.unit} | {row.ratio:.2f} | {sign} {row.target:g} "
            f"| {said}{row.note} |"
        )
    return "\n".join(lines) + "\n"
