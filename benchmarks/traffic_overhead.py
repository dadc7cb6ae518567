"""Costs of counting traffic: throughput through Triton with and without it, turn by turn, and its CPU time beside a photo's.

    python -m benchmarks.traffic_overhead FOLDER [ROUNDS [RECORD]]

FOLDER holds lfw/ and weights/. RECORD is `on` or `required` to measure counting and the record of use together.
A round asks the one server twice for SECONDS: as callers do, and with the request parameter of the platform's own
questions, which are answered in the same way and neither counted nor recorded; which comes first changes from round to round.
"""

import multiprocessing
import statistics
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.kit import DETECTOR, Kit, made
from benchmarks.server import serving
from face_assets.dataset.decoding import decode
from face_assets.detection.mtcnn import Detector
from face_assets.embedding.engine import Engine
from face_assets.serving.embedded import EmbeddedTarget
from face_assets.serving.runtime import traffic as traffic_module
from face_assets.serving.runtime.traffic import Traffic

PHOTOS, ROUNDS = 200, 12
SECONDS, WARM_UP, CALLERS = 10.0, 1.0, 8
CPU_PHOTOS = 400  # some seconds of a busy server, as between two writes of its histograms
PHOTOS_A_PUBLICATION = 50  # a second's
MICROSECONDS_A_CALL = 45.0  # of one call of Triton's metric API, measured in the real Python backend


def main() -> None:
    """Prints a line a round, the median of their ratios, and the CPU time."""
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else ROUNDS
    with made(Path(sys.argv[1]) / "lfw", PHOTOS) as kit:
        with serving(kit, sys.argv[3] if len(sys.argv) > 3 else "off") as target:
            ratios = [_round(target, kit.files, number) for number in range(rounds)]
        print(
            f"median of {rounds} rounds: {1 - statistics.median(ratios):+.2%} of the throughput is the counting's "
            f"(rounds from {1 - max(ratios):+.2%} to {1 - min(ratios):+.2%})"
        )
        print(_cpu_time(kit))


def _round(target: EmbeddedTarget, photos: list[Path], number: int) -> float:
    """The throughput with counting by that without."""
    rates = {}
    for counted in (True, False) if number % 2 else (False, True):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:  # callers in a process of their own
            rates[counted] = pool.submit(_ask, target, photos, counted).result()
    print(f"round {number + 1}: {rates[True]:.2f} photos/s counted, {rates[False]:.2f} not: {rates[True] / rates[False]:.4f}", flush=True)
    return float(rates[True] / rates[False])


def _ask(target: EmbeddedTarget, photos: list[Path], counted: bool) -> float:
    """Photos a second, of CALLERS that each ask again as soon as they have an answer."""
    contents = [photo.read_bytes() for photo in photos]
    ended: list[float] = []
    began = time.perf_counter() + WARM_UP
    ends = began + SECONDS

    def call(first: int) -> None:
        client, turn = target.client(internal=not counted), first
        while time.perf_counter() < ends:
            client.identify(contents[turn % len(contents)])
            ended.append(time.perf_counter())
            turn += CALLERS

    threads = [threading.Thread(target=call, args=(first,)) for first in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(began <= when <= ends for when in ended) / SECONDS


class Family:
    """Counts the calls that would go to Triton."""

    COUNTER, HISTOGRAM = range(2)
    calls = 0

    def __init__(self, **_: Any):
        """As pb_utils.MetricFamily."""

    def Metric(self, **_: Any) -> "Family":  # noqa: N802
        """A metric of the family."""
        return self

    def increment(self, value: float) -> None:
        """A call."""
        Family.calls += 1

    observe = increment


def _cpu_time(kit: Kit) -> str:
    """Of answering and of counting, by the recognizer's own parts in this process, interleaved photo by photo."""
    detector, engine = Detector(kit.networks, DETECTOR, threads=1), Engine(kit.engines["int8"] / "embedder.xml", "int8", 1)
    traffic_module.SECONDS_A_PUBLICATION = float("inf")  # handed over below instead, where it can be timed
    answering = counting = 0.0
    photos = [kit.files[number % len(kit.files)].read_bytes() for number in range(CPU_PHOTOS)]
    with tempfile.TemporaryDirectory() as folder:
        traffic = Traffic("face_recognizer", "v1.0.0", Family, {"FACE_ASSETS_TRAFFIC": folder, "FACE_ASSETS_TRAFFIC_FLUSH": "3600"})
        for number, photo in enumerate(photos, 1):
            whole = time.process_time()
            image = decode(photo)
            faces = detector.detect(image)
            crops = np.stack([detector.crop(image, faces, rank) for rank in range(len(faces.boxes))])
            vectors = engine.embed(crops)
            answering += time.process_time() - whole
            began = time.thread_time()
            verdicts = (vectors[:, 0], vectors[:, 0] > 0, np.full(len(crops), 90.0), np.zeros(len(crops), bool))
            traffic.record("", 0.1, crops, faces.boxes, faces.probabilities, vectors, *verdicts)
            if number % PHOTOS_A_PUBLICATION == 0:
                traffic._publish(False)
            counting += time.thread_time() - began
        began = time.process_time()
        traffic.close()
        counting += time.process_time() - began
    calls = Family.calls / len(photos) * MICROSECONDS_A_CALL / 1e3
    answer_ms, count_ms = answering / len(photos) * 1e3, counting / len(photos) * 1e3
    return (
        f"CPU time of {len(photos)} photos: answering {answer_ms:.2f} ms a photo, counting {count_ms:.3f} ms, and {calls:.3f} ms in "
        f"Triton's calls: {(count_ms + calls) / answer_ms:.2%} more"
    )


if __name__ == "__main__":
    main()
