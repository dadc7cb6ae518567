"""On real photos: embeddings of the given weights tell people apart, and the exported engine gives the same ones."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from face_assets.biometrics.impostor_scores import impostor_scores, known_key
from face_assets.biometrics.score_blocks import SCORES, score_blocks
from face_assets.biometrics.thresholds import verification_threshold
from face_assets.embedding.engine import Engine
from face_assets.embedding.export import export_engine, parity
from face_assets.embedding.features import faces_stored, load_crops
from face_assets.embedding.learning_curve import verification
from face_assets.embedding.quantization import quantize_engine
from face_assets.embedding.weights import load_embedder, weights_fingerprint
from face_assets.storage.content_store import ContentStore, Entry
from face_assets.storage.home import StoreFolder

PEOPLE, PHOTOS = 40, 3
DATA = os.environ.get("FACE_ASSETS_REAL_DATA")

pytestmark = [pytest.mark.real, pytest.mark.skipif(not DATA, reason="FACE_ASSETS_REAL_DATA names no folder with lfw/ and weights/")]


def crops_of(photos: list[Path], networks: Path) -> np.ndarray:
    """uint8 (n, 160, 160, 3): the largest face of each photo."""
    from face_assets.detection.detector import DetectorConfig
    from face_assets.detection.facenet_pytorch import export_detector
    from face_assets.detection.mtcnn import Detector

    export_detector(networks)
    detector = Detector(networks, DetectorConfig())
    crops = []
    for photo in photos:
        image = np.asarray(Image.open(photo).convert("RGB"))
        crops.append(detector.crop(image, detector.detect(image)))
    return np.stack(crops)


def the_threshold_of_ten_people_holds_for_the_others(vectors: np.ndarray, key: str) -> None:
    """The shipped table is of these weights, and whichever ten of the people choose, the others keep the requested rate."""
    known = impostor_scores(key)
    identities = np.repeat(np.arange(len(vectors) // PHOTOS), PHOTOS)
    assert "unknown" not in known.name
    for rate in (0.1, 0.01):
        reached = score_blocks(vectors, identities).photos.sum((0, 1))[known.photo_score(rate) <= SCORES].sum()
        assert 0.5 < reached / (len(vectors) * (len(vectors) - PHOTOS) / 2) / rate < 2
    for first in range(4):
        chosen = identities % 4 == first
        threshold = verification_threshold(score_blocks(vectors[chosen], identities[chosen]), 1e-3, 0.95, known)
        scores, other = vectors[~chosen] @ vectors[~chosen].T, identities[~chosen, None] != identities[None, ~chosen]
        assert (scores[other] >= threshold.value).mean() <= 1e-3
        assert threshold.people == 10


def test_real_people_come_apart(tmp_path: Path) -> None:
    data = Path(DATA or "")
    people = sorted(person for person in (data / "lfw").iterdir() if person.is_dir() and len(list(person.iterdir())) >= PHOTOS)[:PEOPLE]
    photos = [photo for person in people for photo in sorted(person.iterdir())[:PHOTOS]]
    crops, keys = crops_of(photos, tmp_path / "networks"), [str(i) for i in range(len(photos))]
    store = ContentStore(tmp_path / "crops.sqlite")
    store.put(Entry(key, {}, crop.tobytes()) for key, crop in zip(keys, crops, strict=True))
    weights = next((data / "weights").glob("*.pt"))
    model = load_embedder(str(weights), 512, 0)
    vectors = faces_stored(model, None, "per_image", 160, store, keys, StoreFolder(tmp_path / "features"), 1, print)[0]
    figures = verification(vectors, np.repeat(np.arange(len(people)), PHOTOS))
    assert figures["validation_tar"] > 0.9, "at FAR 1e-3; 3 of the 120 photos show somebody else larger than their subject"
    the_threshold_of_ten_people_holds_for_the_others(vectors, known_key(weights_fingerprint(weights), "per_image", "box"))
    export_engine(model, "per_image", 160, tmp_path, vectors.shape[1])
    assert min(found["min"] for found in parity(model, "per_image", tmp_path, load_crops(store, keys[:16])).values()) > 0.9999
    quantize_engine(tmp_path, tmp_path / "int8", crops[::2])
    found = Engine(tmp_path / "int8" / "embedder.xml", "int8", 1).embed(crops)
    in_int8 = verification(found, np.repeat(np.arange(len(people)), PHOTOS))
    assert in_int8["validation_tar"] > figures["validation_tar"] - 0.02, "3 of 120 pairs; without bias correction it falls to nothing"
    assert (vectors * found).sum(1).mean() > 0.97
