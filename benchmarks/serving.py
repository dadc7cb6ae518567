"""Throughput through Triton as a share of the engine's own, and the latency of slow responses."""

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.kit import DETECTOR, Kit, made
from benchmarks.load import Measured, closed, paced
from benchmarks.server import serving
from benchmarks.table import Row
from face_assets.core.settings import usable_cores
from face_assets.dataset.decoding import decode
from face_assets.detection.mtcnn import Detector
from face_assets.embedding.engine import Engine
from face_assets.gallery.search import Gallery

TEST_PHOTOS, CROPS = 600, 256
SECONDS, ROUNDS = 5.0, 3
CALLERS = 16
KEPT, KEPT_RECOGNIZER, LATE = 0.9, 0.85, 2.5
LOAD = 0.8


def run(photos: Path) -> list[Row]:
    """In process and through the server turn by turn; the best of the rounds counts."""
    with made(photos, TEST_PHOTOS) as kit, serving(kit) as target:
        address = f"{target.host}:{target.ports.grpc}"
        engine = Engine(kit.engines["int8"] / "embedder.xml", "int8", usable_cores())
        crops = kit.crops[:CROPS]
        files = [np.array([path.read_bytes()], dtype=np.object_) for path in kit.files[:CROPS]]
        alone, ones, eights, parts, whole = [], [], [], [], []
        for _ in range(ROUNDS):
            alone.append(_in_process(engine, crops))
            ones.append(closed(address, "face_embedder", "CROPS", "UINT8", [crop[None] for crop in crops], CALLERS, SECONDS))
            eights.append(closed(address, "face_embedder", "CROPS", "UINT8", list(crops.reshape(-1, 8, *crops.shape[1:])), 8, SECONDS))
            parts.append(_parts(kit, alone[-1], engine))
            whole.append(closed(address, "face_recognizer", "IMAGE", "BYTES", files, CALLERS, SECONDS))
        load = LOAD * _best(whole).rate
        late = paced(address, "face_recognizer", "IMAGE", "BYTES", files, load, 3 * SECONDS)
    best = max(alone)
    median, p99 = (float(value) * 1000 for value in np.percentile(late.seconds, (50, 99)))
    return [
        Row(f"face_embedder, {CALLERS} callers of 1 crop", _best(ones).rate, best, "crops/s", KEPT, _callers(ones)),
        Row("face_embedder, 8 callers of 8 crops", 8 * _best(eights).rate, best, "crops/s", KEPT, _callers(eights)),
        Row("face_recognizer against its parts in process", _best(whole).rate, max(parts), "photos/s", KEPT_RECOGNIZER, _callers(whole)),
        Row(f"p99 against the median at {load:.0f} photos/s, {LOAD:.0%} of the highest load", p99, median, "ms", LATE),
    ]


def _best(measured: list[Measured]) -> Measured:
    return max(measured, key=lambda one: one.rate)


def _callers(measured: list[Measured]) -> str:
    return f"int8; the callers took {_best(measured).callers_cpu:.2f} of the {usable_cores()} cores"


def _in_process(engine: Engine, crops: np.ndarray) -> float:
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < SECONDS:
        engine.embed(crops)
        count += len(crops)
    return count / (time.perf_counter() - started)


def _parts(kit: Kit, embedded: float, engine: Engine) -> float:
    """Photos a second where decoding and detecting on every core, embedding all faces and searching them follow one another."""
    with ProcessPoolExecutor(usable_cores(), multiprocessing.get_context("spawn"), _start, (kit.networks,)) as pool:
        paths = kit.files[:CROPS]
        list(pool.map(_find, paths[: 4 * usable_cores()], chunksize=2))
        started = time.perf_counter()
        faces = sum(pool.map(_find, paths, chunksize=4)) / len(paths)
        found = len(paths) / (time.perf_counter() - started)
    vectors = engine.embed(kit.crops[:CROPS])
    gallery = Gallery([""] * len(vectors), vectors, usable_cores())
    started = time.perf_counter()
    gallery.search(vectors)
    searched = len(vectors) / (time.perf_counter() - started)
    return 1 / (1 / found + faces / embedded + faces / searched)


class _Worker:
    detector: Detector


def _start(networks: Path) -> None:
    _Worker.detector = Detector(networks, DETECTOR, threads=1)


def _find(path: Path) -> int:
    image = decode(path.read_bytes())
    faces = _Worker.detector.detect(image)
    return len([_Worker.detector.crop(image, faces, rank) for rank in range(len(faces.boxes))])
