"""Metrics of the models by release, never by person, through the metric API of Triton's Python backend."""

import ctypes
import threading
from collections import Counter
from typing import Any

COUNTERS = {
    "photos": "Photos with a result",
    "photos_without_face": "Photos in which no face was found",
    "photos_refused": "Photos that could not be used",
    "photos_failed": "Photos without a result by a fault of the server",
    "photos_dropped": "Photos not processed: too many waited, or the caller had left",
    "faces_accepted": "Faces identified as an enrolled person",
    "faces_refused": "Faces identified as nobody enrolled",
    "faces_too_poor": "Of these, faces too poor to tell who they are",
    "answers_not_recorded": "Answers whose use could not be recorded",
    "traffic_problems": "Problems with metrics, histograms or the clock, each with a line in the log",
}
HISTOGRAMS: dict[str, tuple[str, list[float]]] = {
    "faces_per_photo": ("Faces in a photo", [0, 1, 2, 3, 5, 10, 20]),
    "detection_probability": ("Probability of each face found", [0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 0.9999]),
    "face_size_pixels": ("Side of each face found", [16, 24, 32, 48, 64, 96, 128, 192, 256, 512]),
    "answer_seconds": (
        "Time from a photo's arrival to its response, without photos that cannot be used",
        [0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0],
    ),
    "face_quality": ("Quality of each face found, 0 to 100", [5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95]),
    "best_similarity": ("Cosine of each face with the nearest enrolled person", [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]),
}
MOST_WAITING = 10_000
MOST_A_PUBLICATION = 25  # values of a histogram; a call costs 30 to 45 microseconds, too much for every face on a busy server


class Metrics:
    """Collects in memory; `publish` sends all to the server. Two threads that change metrics at once kill Triton 2.51."""

    def __init__(self, family: Any, release: str):
        """Creates the metrics. family: pb_utils.MetricFamily; the server shares families between instances and versions."""
        labels = {"release": release}
        self._lock = threading.Lock()
        self._counted: Counter[str] = Counter()
        self._observed: dict[str, list[float]] = {name: [] for name in HISTOGRAMS}
        families = [
            *(family(name=f"face_assets_{name}_total", description=text, kind=family.COUNTER) for name, text in COUNTERS.items()),
            *(family(name=f"face_assets_{name}", description=text, kind=family.HISTOGRAM) for name, (text, _) in HISTOGRAMS.items()),
        ]
        counters, histograms = families[: len(COUNTERS)], families[len(COUNTERS) :]
        self._counters = {name: one.Metric(labels=labels) for name, one in zip(COUNTERS, counters, strict=True)}
        self._histograms = {
            name: one.Metric(labels=labels, buckets=[float(edge) for edge in edges])
            for (name, (_, edges)), one in zip(HISTOGRAMS.items(), histograms, strict=True)
        }
        for one in (*families, *self._counters.values(), *self._histograms.values()):
            _keep_for_ever(one)

    def count(self, **more: int) -> None:
        """Adds to counters."""
        with self._lock:
            self._counted.update(more)

    def observe(self, name: str, values: Any) -> None:
        """Adds values to a histogram; a busy server publishes a sample of them."""
        with self._lock:
            waiting = self._observed[name]
            if len(waiting) < MOST_WAITING:
                waiting.extend(float(value) for value in values)

    def publish(self) -> None:
        """Sends the collected values to the server; called by one thread, every second."""
        with self._lock:
            counted, self._counted = self._counted, Counter()
            observed, self._observed = self._observed, {name: [] for name in HISTOGRAMS}
        for name, number in counted.items():
            if number:
                self._counters[name].increment(number)
        for name, values in observed.items():
            step = -(-len(values) // MOST_A_PUBLICATION) or 1
            for value in values[::step]:
                self._histograms[name].observe(value)


def _keep_for_ever(one: Any) -> None:
    """Keeps an object until the process ends: the server goes on publishing a release's counts, and Triton 2.51 crashes at the end of the
    interpreter, whose memory is then gone, when a metric ends there."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(one))
