"""Searching galleries of 1 to a million people, against multiplying all templates out with numpy."""

import time
from pathlib import Path

import numpy as np

from benchmarks.table import Row
from face_assets.core.settings import usable_cores
from face_assets.gallery.search import SCANNED_FROM, Gallery

SIZES = ((1, 512), (10_000, 512), (100_000, 128), (100_000, 512), (1_000_000, 128))
PROBES, ROUNDS, PAUSE = 16, 5, 0.5
LIMIT_MS, LIMITED = 5.0, 100_000


def run(photos: Path) -> list[Row]:
    """Random people, and probes near some of them; photos are not used. One face at a time; the median."""
    return [row for people, size in SIZES for row in _rows(people, size)]


def _rows(people: int, size: int) -> list[Row]:
    templates, probes = _people(people, size)
    gallery = Gallery([""] * people, templates, usable_cores())
    gallery.prepare()
    places, _ = gallery.search(probes)
    every = probes @ templates.T
    same = int((places == every.argmax(axis=1)).sum())
    ours, plain = [], []
    for _ in range(ROUNDS):  # not probe by probe: numpy's threads go on turning for a while and would take the cores
        time.sleep(PAUSE)
        ours += [_ms(lambda probe=probe: gallery.search(probe)) for probe in probes[:, None]]
        plain += [_ms(lambda probe=probe: (probe @ templates.T).argmax(axis=1)) for probe in probes[:, None]]
    what, note = f"search {people:,} people of {size} values", f"the same person as numpy for {same} of {len(probes)}"
    found = float(np.median(ours))
    rows = [Row(what, found, LIMIT_MS, "ms", 1.0, f"the reference is the limit; {note}")] if people <= LIMITED else []
    return rows + ([Row(what, found, float(np.median(plain)), "ms", 1.1, note)] if people >= SCANNED_FROM else [])


def _people(people: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    templates = random.standard_normal((people, size), np.float32)
    templates /= np.linalg.norm(templates, axis=1, keepdims=True)
    probes = templates[random.integers(0, people, PROBES)] + 0.05 * random.standard_normal((PROBES, size), np.float32)
    return templates, (probes / np.linalg.norm(probes, axis=1, keepdims=True)).astype(np.float32)


def _ms(work: object) -> float:
    started = time.perf_counter()
    work()  # type: ignore[operator]
    return (time.perf_counter() - started) * 1000
