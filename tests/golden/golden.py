"""Golden results of the steps: what each makes of small inputs, recorded beside the version that stands for it.

`python -m tests.golden.golden` records the results of steps whose version is new.
"""

import hashlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from face_assets.biometrics.impostor_scores import impostor_scores
from face_assets.biometrics.verification import evaluate
from face_assets.core import params, step_versions
from face_assets.core.degradations import CLEAN, default_strengths, row_name, rows_of
from face_assets.core.step_libraries import other_libraries
from face_assets.dataset import duplicates
from face_assets.dataset.decoding import decode, inspect
from face_assets.dataset.manifest import make_manifest
from face_assets.detection.detector import DetectorConfig
from face_assets.detection.facenet_pytorch import export_detector
from face_assets.detection.mtcnn import Detector
from face_assets.embedding.engine import Engine
from face_assets.embedding.export import export_engine
from face_assets.embedding.features import compute_features, load_features, trunk_fingerprint
from face_assets.embedding.network import Head, TrunkFeatures
from face_assets.embedding.training import TrainingRequest, train
from face_assets.embedding.weights import load_embedder
from face_assets.evaluation.conditions import degrade, face_window
from face_assets.evaluation.degraded_faces import entries_of
from face_assets.evaluation.threshold_figures import threshold_figures
from face_assets.gallery.enrolment import calibrate, templates_of
from face_assets.storage.content_store import ContentStore, Entry
from face_assets.storage.home import StoreFolder

FILE = Path(__file__).with_name("results.json")
PHOTOS = Path(__file__).with_name("photos")
TOLERANCE = {
    "detection": 0.05,
    "features": 1e-3,
    "face_embedder": 1e-3,
    "export": 1e-3,
    "degraded_faces": 0.01,
    "embedder_evaluation": 1e-6,
    "face_gallery": 1e-6,
}
"""The largest difference of two numbers of the same result: processors round differently. Without an entry: none."""
SIDE = 80


def results(step: str) -> Any:
    """The results of a step, as JSON-able values."""
    return json.loads(json.dumps(STEPS[step]()))


def complaint(step: str, found: Any) -> str | None:
    """A sentence where the results are not those that the version of the step stands for; None where they are, or have another name."""
    kept = recorded()[step]
    if is_close(found, kept["results"], TOLERANCE.get(step, 0.0)):
        return None
    if kept["version"] != declared(step):
        return f"the golden results of {step} are those of an earlier version: record these by `python -m tests.golden.golden`"
    if other_libraries(step):
        return None
    return (
        f"{step} has other results than its version stands for: `python -m face_assets.core.step_versions new {step}`, "
        "then `python -m tests.golden.golden`; or give the former results"
    )


def recorded() -> dict[str, Any]:
    """Step → the version at the record, and the results."""
    return dict(json.loads(FILE.read_text(encoding="utf-8"))) if FILE.exists() else {}


def declared(step: str) -> str:
    """The declared version of a step, without that of its libraries."""
    return step_versions._steps()[step]["version"]


def is_close(found: Any, kept: Any, tolerance: float) -> bool:
    """True where two JSON-able values are the same, numbers within the tolerance."""
    if isinstance(found, dict) and isinstance(kept, dict):
        return found.keys() == kept.keys() and all(is_close(found[key], kept[key], tolerance) for key in found)
    if isinstance(found, list) and isinstance(kept, list):
        return len(found) == len(kept) and all(is_close(one, other, tolerance) for one, other in zip(found, kept, strict=True))
    if isinstance(found, float) and isinstance(kept, float):
        return abs(found - kept) <= tolerance
    return bool(found == kept)


def _photos() -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(PHOTOS.iterdir())}


def _dataset() -> dict[str, Any]:
    files = [(f"{person}/{number}.jpg", f"{person}{number}") for person in ("Ann", "Ben", "Cleo", "Dan", "Eve") for number in range(2)]
    random = np.random.RandomState(0)
    hashes = {md5: int(random.randint(0, 2**62)) for _, md5 in files}
    hashes["Ben0"], hashes["Eve1"] = hashes["Ann0"] ^ 0b101, hashes["Cleo0"] ^ 1
    photos = make_manifest(files, params.Split()).photos
    near = duplicates.search(photos, np.array([hashes[photo.md5] for photo in photos], np.uint64), 3).pairs
    return {"splits": {photo.path: photo.split for photo in photos}, "near": [[one.path, other.path, bits] for one, other, bits in near]}


def _inspection() -> dict[str, Any]:
    return {
        name: [*(str(value) for value in vars(inspect(content)).values()), hashlib.sha256(decode(content).tobytes()).hexdigest()]
        for name, content in _photos().items()
    }


def _detection() -> dict[str, Any]:
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        export_detector(Path(folder))
        detector = Detector(Path(folder), DetectorConfig(image_size=SIDE, margin=16))
        for name, content in _photos().items():
            image = decode(content)
            faces = detector.detect(image)
            crop = detector.crop(image, faces)
            means = crop.reshape(5, SIDE // 5, 5, SIDE // 5, 3).mean(axis=(1, 3)) / 255  # a tolerance of 13 levels of 256 in the mean
            found[name] = {"boxes": faces.boxes.tolist(), "landmarks": faces.landmarks.tolist(), "crop": means.tolist()}
    return found


def _evaluation() -> dict[str, Any]:
    vectors, people = _vectors()
    found = evaluate(vectors, people, 0.01, 0).to_json()
    chosen = threshold_figures(vectors, [str(person) for person in people], params.Evaluation(far=0.01), "unknown")
    return {name: found[name] for name in ("genuine", "impostor", "accuracy", "auc", "eer", "tar")} | {"verification": chosen}


def _degraded() -> dict[str, Any]:
    """Means of some cells of a window of two golden photos in each condition, and whether the face is found."""
    rows = {row_name(*row): row for row in [(CLEAN, None), *rows_of(default_strengths())]}
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        export_detector(Path(folder))
        detector = Detector(Path(folder), DetectorConfig(image_size=SIDE, margin=16, choose="most_central"))
        for name, content in list(_photos().items())[:2]:
            image = decode(content)
            faces = detector.detect(image)
            window = face_window(image, faces.boxes[0].tolist(), faces.landmarks[0].tolist())
            cells = {key: degrade(window, *row, name).reshape(5, 50, 5, 50, 3).mean(axis=(1, 3)) / 255 for key, row in rows.items()}
            found[name] = {key: cell[::2, ::2, 1].round(4).tolist() for key, cell in cells.items()}
            found[f"{name}: status"] = [entry.facts["status"] for entry in entries_of(detector, window, name, rows)]
    return found


def _gallery() -> dict[str, Any]:
    vectors, people = _vectors()
    names = [f"person {person}" for person in people]
    enrolled = templates_of(vectors[::2], names[::2])
    calibration = calibrate(enrolled, vectors[1::2], names[1::2], 0.05, 0.95, impostor_scores("unknown"))
    return {
        "templates": enrolled.templates[:3, :8].tolist(),
        "threshold": calibration.threshold.to_json(),
        "strangers": calibration.strangers,
    }


def _vectors() -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors float32 (400, 32) of 40 people, whose numbers no version of numpy changes."""
    random, people = np.random.RandomState(0), np.repeat(np.arange(40), 10)
    vectors = (random.standard_normal((40, 32))[people] + random.standard_normal((400, 32))).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), people


def _embedder() -> dict[str, dict[str, Any]]:
    """Results of features, face_embedder and export for drawn crops: weights of a seed, whose normalizations fit their activations."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        random = np.random.RandomState(0)
        patterns = random.uniform(0, 255, (6, 5, 5, 3)).repeat(4, 0).repeat(SIDE // 5, 1).repeat(SIDE // 5, 2)
        crops = np.clip(patterns + random.normal(0, 20, patterns.shape), 0, 255).astype(np.uint8)
        store = ContentStore(place / "crops.sqlite")
        keys = [str(number) for number in range(len(crops))]
        store.put(Entry(key, {}, crop.tobytes()) for key, crop in zip(keys, crops, strict=True))
        model = load_embedder("scratch", 32, seed=0)
        for module in model.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.momentum = 1.0
        with torch.no_grad():
            Head(model.train())(TrunkFeatures(model, "fixed").train()(torch.from_numpy(crops)))
        model.eval()
        torch.save(model.state_dict(), place / "start.pt")
        features = ContentStore(place / "features" / f"{trunk_fingerprint(model, 'fixed', SIDE)}.sqlite")
        compute_features(model, "fixed", store, keys, features, 1)
        labels = [number // 4 for number in range(len(keys))]
        weights = str(place / "start.pt")
        asked = TrainingRequest(
            weights=weights,
            embedder=params.Embedder(weights=weights),
            train=params.Train(epochs=3, batch_size=8),
            crops=store,
            image_size=SIDE,
            features=StoreFolder(place / "features"),
            train_keys=keys[:16],
            train_labels=labels[:16],
            validation_keys=keys[16:],
            validation_labels=labels[16:],
        )
        trained = train(asked, place / "work", place / "out", 1, lambda line: None)
        model = load_embedder(place / "out" / "embedder.pt", 32, 0)
        state = model.state_dict()
        export_engine(model, "fixed", SIDE, place / "engine", 32)
        served = Engine(place / "engine" / "embedder.xml", "f32", 1).embed(crops[::8])
        return {
            "features": {"features": load_features(features, keys)[::8, ::256].tolist()},
            "face_embedder": {
                "loss": [row["loss"] for row in trained.curve if "loss" in row],
                "head": state["last_linear.weight"][::8, ::256].tolist(),
            },
            "export": {"embeddings": served[:, ::4].tolist()},
        }


_made: dict[str, dict[str, Any]] = {}


def _of_embedder(step: str) -> Callable[[], dict[str, Any]]:
    def result() -> dict[str, Any]:
        if not _made:
            _made.update(_embedder())
        return _made[step]

    return result


STEPS: dict[str, Callable[[], dict[str, Any]]] = {
    "dataset_version": _dataset,
    "inspection": _inspection,
    "detection": _detection,
    "features": _of_embedder("features"),
    "face_embedder": _of_embedder("face_embedder"),
    "export": _of_embedder("export"),
    "degraded_faces": _degraded,
    "embedder_evaluation": _evaluation,
    "face_gallery": _gallery,
}


def record() -> list[str]:
    """Records the results of the steps whose version is new; returns the steps. The tests compare the others."""
    kept = recorded()
    new = [step for step in STEPS if step not in kept or kept[step]["version"] != declared(step)]
    kept |= {step: {"version": declared(step), "results": results(step)} for step in new}
    FILE.write_text(json.dumps({step: kept[step] for step in STEPS}, indent=1) + "\n", encoding="utf-8")
    return new


if __name__ == "__main__":
    print(f"recorded: {', '.join(record()) or 'nothing, no version is new'}")
