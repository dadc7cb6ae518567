"""Metrics in parts that do not hold one another up: one that fails or hangs says so in a gauge, and the others are told all the same."""

import threading
import time
import urllib.error
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from face_assets.core.direct_connections import open_url
from face_assets.core.errors import UserError

SECONDS_FOR_A_PART = 5.0
SECONDS_FRESH = 1.0
"""Who asks within this time of another gets the same answer, so many scrapers cost what one does."""
Log = Callable[[str], None]


@dataclass(frozen=True)
class Part:
    """Some metrics that are read together. `read` may raise: then the part is down."""

    name: str
    read: Callable[[], Iterable[Metric]]


@dataclass(frozen=True)
class _Reading:
    """A part that is being read, and since when (seconds, monotonic)."""

    future: "Future[tuple[list[Metric], float]]"
    began: float


class PartsCollector(Collector):
    """Reads every part in a thread of its own, and says of each whether it could be read and how long that took."""

    def __init__(self, parts: Sequence[Part], log: Log, seconds: float = SECONDS_FOR_A_PART):
        self._parts = parts
        self._log = log
        self._seconds = seconds
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(len(parts), thread_name_prefix="part")
        self._readings: dict[str, _Reading] = {}
        self._troubles: dict[str, str] = {}
        self._answer: list[Metric] = []
        self._answered = float("-inf")

    def describe(self) -> Iterable[Metric]:
        """Nothing: otherwise registering would read every part."""
        return []

    def collect(self) -> Iterable[Metric]:
        """The metrics of all parts that can be read."""
        with self._lock:
            if time.monotonic() - self._answered > SECONDS_FRESH:
                self._answer = self._read()
                self._answered = time.monotonic()
            return self._answer

    def _read(self) -> list[Metric]:
        now = time.monotonic()
        for part in self._parts:
            if part.name not in self._readings:  # one that hangs is not asked again before it has answered
                self._readings[part.name] = _Reading(self._threads.submit(_timed, part), now)
        waited_for = [reading.future for reading in self._readings.values() if reading.began == now]
        wait(waited_for, timeout=self._seconds)
        up = GaugeMetricFamily("face_assets_exporter_part_up", "Whether the part's metrics could be read.", labels=["part"])
        took = GaugeMetricFamily("face_assets_exporter_part_seconds", "How long reading the part took.", labels=["part"])
        answer: list[Metric] = [up, took]
        for part in self._parts:
            reading = self._readings[part.name]
            trouble = self._trouble(part, reading)
            if reading.future.done():
                del self._readings[part.name]
            if not trouble:
                metrics, seconds = reading.future.result()
                answer += metrics
                took.add_metric([part.name], seconds)
            up.add_metric([part.name], 0.0 if trouble else 1.0)
            if trouble != self._troubles.get(part.name, ""):
                self._log(f"{part.name}: {trouble or 'can be read again'}")
            self._troubles[part.name] = trouble
        return answer

    def _trouble(self, part: Part, reading: _Reading) -> str:
        """Why the part cannot be told; empty where it can."""
        if not reading.future.done():
            return f"has not answered within {self._seconds:g} s"
        error = reading.future.exception()
        if error is None:
            return ""
        return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


def _timed(part: Part) -> "tuple[list[Metric], float]":
    began = time.monotonic()
    return list(part.read()), time.monotonic() - began


def serve(parts: Sequence[Part], host: str, port: int, log: Log) -> "tuple[WSGIServer, threading.Thread]":
    """Answers scrapes at http://HOST:PORT/metrics, many at once, from threads of this process, which tell of the process too."""
    registry = CollectorRegistry()
    registry.register(PartsCollector(parts, log))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return start_http_server(port, host, registry)


def answers(address: str) -> bool:
    """Whether metrics can be had at http://HOST:PORT."""
    try:
        with open_url(f"{address}/metrics", timeout=2 * SECONDS_FOR_A_PART) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False
