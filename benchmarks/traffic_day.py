"""A day's traffic through the real server: real faces, an hour squeezed into a few minutes, the light goes out in the middle.

    python -m benchmarks.traffic_day FOLDER [CACHE]

FOLDER holds lfw/ and weights/; CACHE as of benchmarks.drift_on_real_faces. Prints when the change was found, and by what.
"""

import io
import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.drift_on_real_faces import CHANGES, PHOTOS, chosen_photos, engines, measured
from face_assets.core.files import write_json
from face_assets.core.params import Serving
from face_assets.dataset.decoding import decode
from face_assets.detection.detector import DetectorConfig
from face_assets.detection.mtcnn import Detector
from face_assets.embedding.engine import Engine
from face_assets.evaluation.feature_histograms import FeatureHistograms
from face_assets.evaluation.reference import make_reference
from face_assets.gallery.enrolment import templates_of, write_gallery
from face_assets.gallery.search import Gallery
from face_assets.monitoring.drift import judge
from face_assets.monitoring.windows import read_window, window_names
from face_assets.serving.client import RecognizerClient
from face_assets.serving.deployment_check import GoldenRequest
from face_assets.serving.embedded import EmbeddedTarget
from face_assets.serving.model_repository import write_models
from face_assets.serving.runtime.recorder import window_name
from face_assets.serving.server_environment import ensure_environment
from face_assets.serving.triton_server import Ports

ROOT = Path(__file__).parents[1]
HOURS, A_HOUR, DARK_FROM, SECONDS = 6, 100, 4, 60
CLIENTS, ENROLLED = 2, 20
DARK = next(change for change in CHANGES if change.startswith("dark"))
DETECTOR = DetectorConfig(choose="most_central")
PORTS = Ports(19_890, 19_891, 19_892)


def main() -> None:
    """Prints a line an hour."""
    data, cache = Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else Path(tempfile.mkdtemp())
    chosen = chosen_photos(data, PHOTOS)
    people = np.array([path.parent.name for path in chosen])
    networks, engine = engines(data, cache)
    names = np.random.default_rng(3).permutation(np.unique(people))
    ours = np.isin(people, names[: len(names) // 2])
    reference = make_reference(measured(chosen, "unchanged", networks, engine, cache)[ours], people[ours])
    assert reference is not None
    tested = [path for path, mine in zip(chosen, ours, strict=True) if not mine]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        golden = _bundle(folder / "bundle", networks, engine, [path for path, mine in zip(chosen, ours, strict=True) if mine])
        environment = ensure_environment(Path(sys.prefix) / "serving", ROOT / "deploy" / "requirements-serving.txt", print)
        cores = len(os.sched_getaffinity(0))
        target = EmbeddedTarget(folder / "serving", environment, PORTS, cores)
        version = write_models(folder / "bundle", "v1.0.0", "0" * 40, target.models, ROOT / "triton_models", cores)
        os.environ |= {"FACE_ASSETS_TRAFFIC_WINDOW": str(SECONDS), "FACE_ASSETS_TRAFFIC_FLUSH": "2"}
        target.start()
        try:
            target.deploy(version, [golden], Serving(max_latency_ms=10_000.0))
            hours = _ask(tested)
            time.sleep(4)
        finally:
            target.stop()
        for hour, (first, last) in enumerate(hours, 1):
            histograms = FeatureHistograms("v1.0.0", 0, SECONDS)
            for window in window_names(target.root / "traffic"):
                if first <= window <= last:
                    histograms.merge(read_window(target.root / "traffic", window).releases["v1.0.0"])
            report = judge(first, histograms, reference, A_HOUR)
            print(f"hour {hour}: {histograms.photos} photos, {histograms.without_face} without a face: {report.verdict}: {report.sentence}")


def _ask(photos: list[Path]) -> list[tuple[str, str]]:
    """The first and the last window of each hour; an hour begins with a minute, and its photos are asked by several clients at once."""
    random = np.random.default_rng(4)
    hours = []
    for hour in range(1, HOURS + 1):
        time.sleep(SECONDS - time.time() % SECONDS)
        first = window_name(int(time.time()))
        contents = [photos[one].read_bytes() for one in random.choice(len(photos), A_HOUR, replace=False)]
        if hour >= DARK_FROM:
            contents = [_darkened(content) for content in contents]
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(_client, [contents[number::CLIENTS] for number in range(CLIENTS)]))
        hours.append((first, window_name(int(time.time()))))
    return hours


def _client(contents: list[bytes]) -> None:
    client = RecognizerClient(f"127.0.0.1:{PORTS.grpc}")
    for content in contents:
        client.identify(content)


def _darkened(content: bytes) -> bytes:
    output = io.BytesIO()
    CHANGES[DARK](Image.fromarray(decode(content))).save(output, "JPEG", quality=90)
    return output.getvalue()


def _bundle(folder: Path, networks: Path, engine: Path, photos: list[Path]) -> GoldenRequest:
    """A release of the given engine with a few people enrolled, as far as serving looks into it; returns what it must answer."""
    folder.mkdir()
    shutil.copytree(networks, folder / "detector")
    for name in ("embedder.xml", "embedder.bin", "engine.json"):
        shutil.copyfile(engine / name, folder / name)
    recognizer = {
        "detector": asdict(DETECTOR),
        "max_megapixels": 100.0,
        "precision": "f32",
        "embedding_size": 128,
        "verification_threshold": 0.4,
        "identification_threshold": 0.5,
        "serving": Serving(max_latency_ms=10_000.0).model_dump(mode="json"),
    }
    write_json(folder / "recognizer.json", recognizer)
    detector, loaded = Detector(networks, DETECTOR), Engine(engine / "embedder.xml", "f32", 1)
    images = [decode(photo.read_bytes()) for photo in photos[:ENROLLED]]
    vectors = loaded.embed(np.stack([detector.crop(image, detector.detect(image)) for image in images]))
    write_gallery(templates_of(vectors, [photo.parent.name for photo in photos[:ENROLLED]]), folder)
    gallery = Gallery.load(folder)
    places, scores = gallery.search(vectors[:1])
    return GoldenRequest(photos[0].read_bytes(), vectors[0], gallery.names[places[0]], float(scores[0]), 0.5)


if __name__ == "__main__":
    main()
