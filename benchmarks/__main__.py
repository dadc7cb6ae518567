"""`make bench`: runs every benchmark and writes docs/benchmarks.md."""

import os
import tempfile
from importlib import import_module
from pathlib import Path

from benchmarks.table import Row, write
from face_assets.dataset.synthetic import write_people

PARTS = ("dataset", "detection", "agreement", "training", "embedding", "serving", "search")
TABLE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
PEOPLE, PHOTOS = 100, 10


def main() -> None:
    """Measures on the real photos of FACE_ASSETS_REAL_DATA, or on synthetic people."""
    real = os.environ.get("FACE_ASSETS_REAL_DATA")
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(real) / "lfw" if real else Path(folder) / "people"
        if not real:
            write_people(photos, people=PEOPLE, photos=PHOTOS)
        rows: list[Row] = []
        for part in PARTS:
            rows += import_module(f"benchmarks.{part}").run(photos)
    kind = "real photos" if real else "synthetic people"
    write(
        rows, TABLE, f"# Benchmarks\n\nWritten by `make bench`, on {kind}, {len(os.sched_getaffinity(0))} cores. Ratio: ours by reference."
    )
    print(TABLE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
