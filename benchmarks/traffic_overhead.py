"""What the counting costs a photo, in CPU time, beside what answering a photo costs; by the recognizer's own parts, in one process.

    python -m benchmarks.traffic_overhead FOLDER [CACHE]

FOLDER holds lfw/ and weights/; CACHE as of benchmarks.drift_on_real_faces.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.drift_on_real_faces import engines
from face_assets.vision.decode import decode
from face_assets.vision.embed import Engine
from face_assets.vision.mtcnn import Detector, DetectorConfig
from face_assets.vision.traffic import Traffic

PHOTOS, ROUNDS = 60, 1
MICROSECONDS_A_CALL = 45.0  # of one call of Triton's metric API, measured in the real Python backend


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


def main() -> None:
    """Prints the two costs, interleaved photo by photo."""
    data = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        networks, exported = engines(data, Path(sys.argv[2]) if len(sys.argv) > 2 else Path(folder))
        detector, engine = Detector(networks, DetectorConfig()), Engine(exported / "embedder.xml", "f32", 1)
        traffic = Traffic("face_recognizer", "v1.0.0", Family, {"FACE_ASSETS_TRAFFIC": str(Path(folder) / "traffic")})
        photos = [next(person.iterdir()).read_bytes() for person in sorted((data / "lfw").iterdir())[:PHOTOS]]
        answering = counting = 0.0
        for _ in range(ROUNDS):
            for photo in photos:
                whole = time.process_time()
                image = decode(photo)
                faces = detector.detect(image)
                crops = np.stack([detector.crop(image, box) for box in faces.boxes])
                vectors = engine.embed(crops)
                answering += time.process_time() - whole
                began = time.thread_time()
                traffic.record("", crops, faces.boxes, faces.probabilities, vectors, vectors[:, 0], vectors[:, 0] > 0)
                counting += time.thread_time() - began
        began = time.process_time()
        traffic.close()
        counting += time.process_time() - began
    asked = ROUNDS * len(photos)
    calls = Family.calls / asked * MICROSECONDS_A_CALL / 1e3
    answer, count_ms = answering / asked * 1e3, counting / asked * 1e3
    print(f"{asked:,} photos: answering {answer:.2f} ms of CPU a photo, counting {count_ms:.3f} ms and {calls:.3f} ms in Triton's calls:")
    print(f"{(count_ms + calls) / answer:.2%} more")


if __name__ == "__main__":
    main()
