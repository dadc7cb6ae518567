"""`make bench`: runs every benchmark, writes docs/reference/benchmarks.md. `python -m benchmarks detection search` prints these rows."""

import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from benchmarks.table import Row, table
from face_assets.demo.synthetic import write_people

PARTS = ("dataset", "detection", "agreement", "training", "embedding", "serving", "web_service", "search", "incremental", "scale")
TABLE = Path(__file__).parents[1] / "docs" / "reference" / "benchmarks.md"
PEOPLE, PHOTOS = 100, 10


def main() -> None:
    """Measures on the real photos of FACE_ASSETS_REAL_DATA, or on synthetic people."""
    real = os.environ.get("FACE_ASSETS_REAL_DATA")
    asked = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(real) / "lfw" if real else Path(folder) / "people"
        if not real:
            write_people(photos, people=PEOPLE, photos=PHOTOS)
        rows: list[Row] = []
        for part in asked or PARTS:
            made = import_module(f"benchmarks.{part}").run(photos)
            print(table(made), flush=True)
            rows += made
    if not asked:
        kind = "real photos" if real else "synthetic people"
        heading = f"# Benchmarks\n\nWritten by `make bench`, on {kind}, {len(os.sched_getaffinity(0))} cores. Ratio: ours by reference.\n\n"
        TABLE.write_text(heading + table(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
