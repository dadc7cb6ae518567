"""Crops of test and training people, and the embedder as an engine in each precision, for the benchmarks."""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from face_assets.core.params import Split
from face_assets.core.settings import usable_cores
from face_assets.dataset.manifest import make_manifest
from face_assets.dataset.photo_survey import survey
from face_assets.detection.alignment import align_photos
from face_assets.detection.detector import DetectorConfig
from face_assets.detection.facenet_pytorch import export_detector
from face_assets.embedding.engine_files import restate_engine
from face_assets.embedding.export import export_engine
from face_assets.embedding.features import load_crops
from face_assets.embedding.quantization import quantize_engine
from face_assets.embedding.weights import load_embedder
from face_assets.storage.content_store import ContentStore

SIDE, SIZE = 160, 128
CALIBRATION_CROPS = 256
DETECTOR = DetectorConfig(choose="most_central")


@dataclass(frozen=True)
class Kit:
    """model: torch's; engines: f32, bf16, int8, each a folder; crops: uint8 (n, 160, 160, 3) of the test people, and their numbers;
    files: their photos; networks: the detector's."""

    model: Any
    engines: dict[str, Path]
    crops: np.ndarray
    people: np.ndarray
    files: list[Path]
    networks: Path


@contextmanager
def made(photos: Path, most_photos: int) -> Iterator[Kit]:
    """Made of the photos' people, and of the weights beside their folder where there are any; at most so many test photos."""
    weights = next(iter(sorted((photos.parent / "weights").glob("*.pt"))), None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export_detector(folder / "networks")
        manifest = make_manifest(
            ((str(path), hashlib.md5((photos / path).read_bytes()).hexdigest()) for path in survey(photos).files), Split()
        )
        test, training = list(manifest.of("test"))[:most_photos], list(manifest.of("train"))
        training = training[:: max(1, len(training) // CALIBRATION_CROPS)][:CALIBRATION_CROPS]
        store = ContentStore(folder / "crops.sqlite")
        align_photos(
            {photo.md5: photos / photo.path for photo in (*test, *training)},
            store, folder / "networks", DETECTOR, 100.0, usable_cores(), lambda done, whole: None,
        )  # fmt: skip
        found = {md5 for md5, fact in store.facts(photo.md5 for photo in (*test, *training)).items() if fact["status"] == "face"}
        test = [photo for photo in test if photo.md5 in found]
        calibration = load_crops(store, [photo.md5 for photo in training if photo.md5 in found])
        model = load_embedder(str(weights) if weights else "scratch", SIZE, 0)
        engines = {precision: folder / precision for precision in ("f32", "bf16", "int8")}
        (folder / "f32").mkdir()
        export_engine(model, "per_image", SIDE, folder / "f32", SIZE)
        (folder / "f32" / "embedder.pt").touch()
        restate_engine(engines["f32"], engines["bf16"], "bf16")
        quantize_engine(engines["f32"], engines["int8"], calibration)
        crops = load_crops(store, [photo.md5 for photo in test])
        people = np.unique([photo.identity for photo in test], return_inverse=True)[1]
        yield Kit(model, engines, crops, people, [photos / photo.path for photo in test], folder / "networks")
