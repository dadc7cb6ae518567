"""Photos a second from JPEG bytes to crop, and of the whole step aligned_faces, against facenet-pytorch's MTCNN."""

import hashlib
import random
import tempfile
import time
from pathlib import Path

from benchmarks.reference import Reference
from benchmarks.table import Row
from face_assets.core.params import Detector
from face_assets.core.params_yaml import default_params_yaml
from face_assets.core.settings import Settings, usable_cores
from face_assets.dataset.photo_survey import survey
from face_assets.dataset.repository_creation import create_repository
from face_assets.dataset.steps import version_dataset
from face_assets.detection.alignment import align_photos
from face_assets.detection.detector import DetectorConfig
from face_assets.detection.detectors import detector_networks
from face_assets.detection.facenet_pytorch import export_detector
from face_assets.detection.steps import align_dataset
from face_assets.registry.workspace import Workspace
from face_assets.storage.content_store import ContentStore

REFERENCE_PHOTOS, OUR_PHOTOS = 100, 2500
REFERENCE_THREADS = 2
ROUNDS = 3
TARGET = 8.0


def run(photos: Path) -> list[Row]:
    """The two turn by turn, as processes start and end; the best of the rounds counts."""
    import torch

    files = [photos / path for path in survey(photos).files]
    random.Random(0).shuffle(files)
    threads = torch.get_num_threads()
    torch.set_num_threads(REFERENCE_THREADS)
    reference = Reference()
    reference.find(files[0].read_bytes())
    rates = [(_ours(files), _theirs(reference, files)) for _ in range(ROUNDS)]
    torch.set_num_threads(threads)
    ours, theirs = (max(column) for column in zip(*rates, strict=True))
    ratios = sorted(one / other for one, other in rates)
    note = f"rounds: {', '.join(f'{ratio:.2f}' for ratio in ratios)}; theirs photo by photo with {REFERENCE_THREADS} threads"
    return [
        Row("JPEG bytes to crop against facenet-pytorch's MTCNN", ours, theirs, "photos/s", TARGET, note),
        Row("the step aligned_faces against the same", _whole_step(photos), theirs, "photos/s", TARGET, "with its lists and pictures"),
    ]


def _theirs(reference: Reference, files: list[Path]) -> float:
    some = files[:REFERENCE_PHOTOS]
    started = time.perf_counter()
    for path in some:
        reference.find(path.read_bytes())
    return len(some) / (time.perf_counter() - started)


def _ours(files: list[Path]) -> float:
    """With the start of the workers, into an empty crop store."""
    some = {hashlib.md5(path.read_bytes()).hexdigest(): path for path in files[:OUR_PHOTOS]}
    with tempfile.TemporaryDirectory() as folder:
        export_detector(Path(folder))
        store = ContentStore(Path(folder) / "crops.sqlite")
        started = time.perf_counter()
        align_photos(some, store, Path(folder), DetectorConfig(), 100.0, usable_cores(), lambda done, whole: None)
        return len(some) / (time.perf_counter() - started)


def _whole_step(photos: Path) -> float:
    """All photos of a commit, as a run makes them: found in DVC's cache, searched, listed and drawn."""
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "repository"
        create_repository(repository, photos, default_params_yaml(), None, None)
        workspace = Workspace(Settings(home=Path(folder) / "home", repo=str(repository)))
        workspace.repository.refresh()
        commit = workspace.repository.resolve("HEAD")
        dataset = version_dataset(workspace, commit, lambda line: None)
        detector_networks(workspace, Detector())
        started = time.perf_counter()
        align_dataset(workspace, commit, dataset, lambda line: None)
        return len(survey(photos).files) / (time.perf_counter() - started)
