"""Metrics endpoint: a collector that fails or hangs hides no other, and many scrape at once."""

import threading
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families

from face_assets.core.errors import UserError
from face_assets.monitoring import exposition
from face_assets.monitoring.exposition import MetricsCollector, ScrapeCollector, serve
from tests.waiting import until


def good() -> Iterable[Metric]:
    return [GaugeMetricFamily("good", "It can be read.", value=7.0)]


def bad() -> Iterable[Metric]:
    yield GaugeMetricFamily("half", "Read before the failure.", value=1.0)
    raise UserError("the mirror is gone")


def samples(metrics: Iterable[Metric]) -> dict[str, float]:
    return {"".join((one.name, *one.labels.values())): one.value for family in metrics for one in family.samples}


def test_a_collector_that_fails_or_hangs_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    calls: list[int] = []
    waited_for: list[int] = []

    def wait(readings: list["Future[Any]"], timeout: float) -> None:
        """Until the two parts that do not hang have been read, whatever the clock says."""
        waited_for.append(len(readings))
        assert until(lambda: sum(one.done() for one in readings) >= 2)

    monkeypatch.setattr(exposition, "wait", wait)
    monkeypatch.setattr(exposition, "SECONDS_FRESH", 0.0)

    def hangs() -> Iterable[Metric]:
        calls.append(1)
        release.wait()
        return good()

    said: list[str] = []
    collector = ScrapeCollector(
        [MetricsCollector("bad", bad), MetricsCollector("hangs", hangs), MetricsCollector("good", good)], said.append, seconds=2.0
    )
    found = samples(collector.collect())
    assert found["good"] == 7.0
    assert "half" not in found
    up = {name: found[f"face_assets_scrape_collector_success{name}"] for name in ("bad", "hangs", "good")}
    assert up == {"bad": 0.0, "hangs": 0.0, "good": 1.0}
    assert said == ["bad: the mirror is gone", "hangs: did not end within 2 s"]
    collector.collect()
    assert waited_for == [3, 2], "what hangs is not waited for again"
    assert len(calls) == 1
    release.set()
    assert until(lambda: samples(collector.collect())["face_assets_scrape_collector_successhangs"] == 1.0)


def test_the_endpoint_answers_many_at_once(free_ports: Callable[[int], list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposition, "SECONDS_FRESH", 3600.0)
    reads: list[int] = []
    together = threading.Barrier(40)

    def read() -> Iterable[Metric]:
        reads.append(1)
        return good()

    (port,) = free_ports(1)
    server, thread = serve([MetricsCollector("read", read)], "127.0.0.1", port, lambda line: None)

    def scrape(_: int) -> float:
        together.wait(60)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            families = {family.name: family for family in text_string_to_metric_families(answer.read().decode())}
        return float(families["good"].samples[0].value)

    with ThreadPoolExecutor(40) as pool:
        assert list(pool.map(scrape, range(40))) == [7.0] * 40
    assert len(reads) == 1, "simultaneous scrapes share one reading"
    server.shutdown()
    thread.join()
