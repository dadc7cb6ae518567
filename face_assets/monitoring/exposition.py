"""Exposition of the platform's metrics by independent collectors: one that fails or hangs has success 0 and delays no other."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from face_assets.core.direct_connections import responds
from face_assets.core.errors import UserError

SECONDS_TO_COLLECT = 5.0
SECONDS_FRESH = 1.0
"""Scrapes within this time of another get the same metrics, so many scrapers cost as much as one."""
Log = Callable[[str], None]


@dataclass(frozen=True)
class MetricsCollector:
    """Metrics that are read together. `read` may raise: then the collector has success 0."""

    name: str
    read: Callable[[], Iterable[Metric]]


@dataclass(frozen=True)
class _Reading:
    """A collector that is being read, and since when (seconds, monotonic)."""

    future: "Future[tuple[list[Metric], float]]"
    began: float


class ScrapeCollector(Collector):
    """Reads every collector in a thread of its own, and adds the success and the duration of each."""

    def __init__(self, collectors: Sequence[MetricsCollector], log: Log, seconds: float = SECONDS_TO_COLLECT):
        self._collectors = collectors
        self._log = log
        self._seconds = seconds
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(len(collectors), thread_name_prefix="collector")
        self._readings: dict[str, _Reading] = {}
        self._failures: dict[str, str] = {}
        self._metrics: list[Metric] = []
        self._collected_at = float("-inf")

    def describe(self) -> Iterable[Metric]:
        """Describes nothing: otherwise registering would read every collector."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Returns the metrics of all collectors that succeed."""
        with self._lock:
            if time.monotonic() - self._collected_at > SECONDS_FRESH:
                self._metrics = self._read()
                self._collected_at = time.monotonic()
            return self._metrics

    def _read(self) -> list[Metric]:
        now = time.monotonic()
        for collector in self._collectors:
            if collector.name not in self._readings:  # one that hangs is not started again before it ends
                self._readings[collector.name] = _Reading(self._threads.submit(_timed, collector), now)
        waited_for = [reading.future for reading in self._readings.values() if reading.began == now]
        wait(waited_for, timeout=self._seconds)
        success = GaugeMetricFamily("face_assets_scrape_collector_success", "Whether the collector succeeded.", labels=["collector"])
        duration = GaugeMetricFamily("face_assets_scrape_collector_duration_seconds", "How long the collector took.", labels=["collector"])
        metrics: list[Metric] = [success, duration]
        for collector in self._collectors:
            reading = self._readings[collector.name]
            failure = self._failure(reading)
            if reading.future.done():
                del self._readings[collector.name]
            if not failure:
                collected, seconds = reading.future.result()
                metrics += collected
                duration.add_metric([collector.name], seconds)
            success.add_metric([collector.name], 0.0 if failure else 1.0)
            if failure != self._failures.get(collector.name, ""):
                self._log(f"{collector.name}: {failure or 'succeeds again'}")
            self._failures[collector.name] = failure
        return metrics

    def _failure(self, reading: _Reading) -> str:
        """Returns why the collector failed; empty where it succeeded."""
        if not reading.future.done():
            return f"did not end within {self._seconds:g} s"
        error = reading.future.exception()
        if error is None:
            return ""
        return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


def _timed(collector: MetricsCollector) -> "tuple[list[Metric], float]":
    began = time.monotonic()
    return list(collector.read()), time.monotonic() - began


def serve(collectors: Sequence[MetricsCollector], host: str, port: int, log: Log) -> "tuple[WSGIServer, threading.Thread]":
    """Serves http://HOST:PORT/metrics from threads of this process, with the metrics of the process itself."""
    registry = CollectorRegistry()
    registry.register(ScrapeCollector(collectors, log))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return start_http_server(port, host, registry)


def answers(address: str) -> bool:
    """Returns True where http://HOST:PORT serves metrics."""
    return responds(f"{address}/metrics", 2 * SECONDS_TO_COLLECT)
