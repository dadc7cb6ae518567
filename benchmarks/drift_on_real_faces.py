"""Drift on real faces: how often unseen people of the same kind raise an alarm, and after how many photos a change is found.

    python -m benchmarks.drift_on_real_faces FOLDER [PHOTOS] [CACHE]

FOLDER holds lfw/ and weights/. What is measured of each photo is kept in CACHE (numbers, no picture), so that a second run is quick.
"""

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from face_assets.dataset.decoding import decode
from face_assets.detection.detector import DetectorConfig
from face_assets.detection.mtcnn import Detector
from face_assets.embedding.engine import Engine
from face_assets.evaluation.feature_histograms import FeatureHistograms, bins_of, measure, without_face
from face_assets.evaluation.reference import Reference, make_reference
from face_assets.monitoring.drift import judge

PHOTOS, DEGRADED = 2000, 400
SPLITS, WINDOWS = 24, 100
SIZES = (10, 25, 50, 100)
WINDOW = 100
MOST_OF_A_PERSON = 20
Bins = npt.NDArray[np.int64]

CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "unchanged": lambda image: image,
    "blurred (Gaussian, 2 px of 250)": lambda image: image.filter(ImageFilter.GaussianBlur(2)),
    "dark (a third of the light)": lambda image: image.point(lambda value: value // 3),
    "tiny (a quarter of the size)": lambda image: image.resize((image.width // 4, image.height // 4), Image.Resampling.BOX),
    "greyscale": lambda image: image.convert("L").convert("RGB"),
}


def main() -> None:
    """Prints a table."""
    data, photos = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else PHOTOS
    cache = Path(sys.argv[3]) if len(sys.argv) > 3 else Path(tempfile.mkdtemp())
    chosen = chosen_photos(data, photos)
    people = np.array([path.parent.name for path in chosen])
    networks, engine = engines(data, cache)
    plain = measured(chosen, "unchanged", networks, engine, cache)
    some = np.random.default_rng(1).permutation(len(chosen))[:DEGRADED]
    changed = {
        change: measured([chosen[one] for one in some], change, networks, engine, cache) for change in CHANGES if change != "unchanged"
    }
    print(f"{len(chosen):,} photos of {len(set(people)):,} people; {SPLITS} times the people are halved: one half is the release's")
    print(f"reference, windows of {WINDOW} are drawn from the other. {WINDOWS} windows of each kind for each halving.\n")
    alarms, found = 0, {(change, size): 0 for change in changed for size in SIZES}
    by: dict[str, dict[str, int]] = {change: {} for change in changed}
    for split in range(SPLITS):
        random = np.random.default_rng(split)
        names = random.permutation(np.unique(people))
        ours = np.isin(people, names[: len(names) // 2])
        reference = make_reference(plain[ours], people[ours], seed=split)
        assert reference is not None
        others = np.flatnonzero(~ours)
        for _ in range(WINDOWS):
            alarms += bool(_drifted(reference, plain[random.choice(others, WINDOW, replace=False)]))
            for change, bins in changed.items():
                unseen = np.flatnonzero(~ours[some])
                for size in SIZES:
                    drifted = _drifted(reference, bins[random.choice(unseen, size, replace=False)])
                    found[change, size] += bool(drifted)
                    if size == WINDOW:
                        for name in drifted[:1]:
                            by[change][name] = by[change].get(name, 0) + 1
    tried = SPLITS * WINDOWS
    print(f"false alarms: {alarms} of {tried:,} windows of unseen people, {alarms / tried:.3%}\n")
    print("| change | " + " | ".join(f"{size} photos" for size in SIZES) + " | no face | farthest off |")
    print("| --- |" + " ---: |" * (len(SIZES) + 1) + " --- |")
    for change, bins in changed.items():
        first = max(by[change], key=by[change].__getitem__, default="nothing")
        shares = " | ".join(f"{found[change, size]:,} of {tried:,}" for size in SIZES)
        print(f"| {change} | {shares} | {(bins[:, 0] == 0).mean():.1%} | {first} |")


def chosen_photos(data: Path, photos: int) -> list[Path]:
    """Photos of people at random, few of those of whom there are hundreds."""
    folders = sorted(path for path in (data / "lfw").iterdir() if path.is_dir())
    listed = [
        path
        for person in np.random.default_rng(0).permutation(len(folders))
        for path in sorted(folders[person].iterdir())[:MOST_OF_A_PERSON]
    ]
    return listed[:photos]


def engines(data: Path, cache: Path) -> tuple[Path, Path]:
    """MTCNN and the embedder as OpenVINO engines."""
    networks, engine = cache / "networks", cache / "engine"
    if not engine.is_dir():
        from face_assets.detection.facenet_pytorch import export_detector
        from face_assets.embedding.export import export_engine
        from face_assets.embedding.weights import load_embedder

        networks.mkdir(parents=True)
        export_detector(networks)
        engine.mkdir()
        model = load_embedder(str(next((data / "weights").glob("*.pt"))), 512, 0)
        export_engine(model, "per_image", 160, engine, 128)
    return networks, engine


def measured(photos: list[Path], change: str, networks: Path, engine: Path, cache: Path) -> Bins:
    """int64 (photos, features): the bins of each photo under a change."""
    file = cache / f"{change.split(' ')[0]}-{len(photos)}.npy"
    if not file.is_file():
        cores = len(os.sched_getaffinity(0))
        with ProcessPoolExecutor(cores, multiprocessing.get_context("spawn"), _start, (networks, engine, change)) as pool:
            np.save(file, np.stack(list(pool.map(_bins, photos, chunksize=16))))
    return np.asarray(np.load(file))


class _Worker:
    """State of a process of the pool between photos."""

    detector: Detector
    engine: Engine
    change: Callable[[Image.Image], Image.Image]


_worker = _Worker()


def _start(networks: Path, engine: Path, change: str) -> None:
    _worker.detector = Detector(networks, DetectorConfig(choose="most_central"))
    _worker.engine = Engine(engine / "embedder.xml", "f32", 1)
    _worker.change = CHANGES[change]


def _bins(photo: Path) -> Bins:
    image = np.asarray(_worker.change(Image.fromarray(decode(photo.read_bytes()))))
    faces = _worker.detector.detect(image)
    if not len(faces.boxes):
        return without_face()
    crops = _worker.detector.crop(image, faces)[None]
    vectors = _worker.engine.embed(crops)
    seen = measure(np.array([len(faces.boxes)]), crops, faces.boxes[:1], faces.probabilities[:1], vectors, np.zeros(1), np.full(1, np.nan))
    return np.asarray(bins_of(seen)[0])


def _drifted(reference: Reference, bins: Bins) -> list[str]:
    histograms = FeatureHistograms("v1.0.0", 0, 3600)
    for row in bins:
        histograms.add(row, int(row[0]), 0)
    return judge("", histograms, reference, min_photos=1).drifted


if __name__ == "__main__":
    main()
