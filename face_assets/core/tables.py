"""Tables as CSV."""

import csv
from collections.abc import Iterable
from pathlib import Path


def write_rows(path: Path, header: tuple[str, ...], rows: Iterable[Iterable[object]]) -> None:
    """Writes a table with a header."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
