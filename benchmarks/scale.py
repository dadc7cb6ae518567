"""Seconds against the number of photos: whether ten times the photos cost ten times the time. `python -m benchmarks.scale NUMBER FOLDER`
says memory, too."""

import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from benchmarks.table import Row
from face_assets.core.params import Detector
from face_assets.core.params_yaml import default_params_yaml
from face_assets.core.settings import Settings
from face_assets.dataset.photo_survey import survey
from face_assets.dataset.repository_creation import create_repository
from face_assets.dataset.steps import version_dataset
from face_assets.detection.detectors import detector_networks
from face_assets.detection.steps import align_dataset
from face_assets.registry.workspace import Workspace

SIZES = (1_000, 10_000)  # 100,000 take a quarter of an hour
PHOTOS_A_PERSON = 5
STEPS = ("dataset_version", "aligned_faces")


def run(photos: Path) -> list[Row]:
    """Each size in a process of its own; the reference is ten times the smaller size."""
    (seconds, _), (more_seconds, _) = (measured(photos, size) for size in SIZES)
    what = f"with {SIZES[1]:,} photos, and ten times as long as with {SIZES[0]:,}"
    times = SIZES[1] / SIZES[0]
    return [Row(f"{step} {what}", more_seconds[step], times * seconds[step], "s", 1.2) for step in STEPS]


def measured(photos: Path, size: int) -> tuple[dict[str, float], float]:
    """Seconds by step, and the most megabytes that the process and its largest worker held together: at least what the caller held before,
    for that is handed down. Right only from the command."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measure, photos, size).result()


def _measure(photos: Path, size: int) -> tuple[dict[str, float], float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(photos, folder / "photos", size)
        create_repository(folder / "data", folder / "photos", default_params_yaml(), None, None)
        workspace = Workspace(Settings(home=folder / "home", repo=str(folder / "data")))
        workspace.repository.refresh()
        commit = workspace.repository.resolve("HEAD")
        detector_networks(workspace, Detector())
        started = time.perf_counter()
        dataset = version_dataset(workspace, commit, lambda line: None)
        versioned = time.perf_counter()
        align_dataset(workspace, commit, dataset, lambda line: None)
        aligned = time.perf_counter()
    kilobytes = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return dict(zip(STEPS, (versioned - started, aligned - versioned), strict=True)), kilobytes / 1000


def _write(photos: Path, to: Path, size: int) -> None:
    """So many different files: JPEG readers stop at the end mark, so a number behind it makes a file another."""
    sources = [photos / file for file in survey(photos).files]
    for number in range(size):
        target = to / f"person {number // PHOTOS_A_PERSON:06}" / f"{number}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(sources[number % len(sources)].read_bytes() + str(number).encode())


if __name__ == "__main__":
    print(measured(Path(sys.argv[2]), int(sys.argv[1])))
