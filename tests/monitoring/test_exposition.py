"""Metrics endpoint: a collector that fails or hangs hides no other, and many scrape at once."""

import threading
import time
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families

from face_assets.core.errors import UserError
from face_assets.monitoring.exposition import MetricsCollector, ScrapeCollector, serve


def good() -> Iterable[Metric]:
    return [GaugeMetricFamily("good", "It can be read.", value=7.0)]


def bad() -> Iterable[Metric]:
    yield GaugeMetricFamily("half", "Read before the failure.", value=1.0)
    raise UserError("the mirror is gone")


def samples(metrics: Iterable[Metric]) -> dict[str, float]:
    return {"".join((one.name, *one.labels.values())): one.value for family in metrics for one in family.samples}


def test_a_collector_that_fails_or_hangs_hides_no_other() -> None:
    release = threading.Event()
    calls: list[int] = []

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
    time.sleep(1.1)
    began = time.monotonic()
    collector.collect()
    assert time.monotonic() - began < 1.5, "what hangs is not waited for again"
    assert len(calls) == 1
    release.set()
    time.sleep(1.1)
    assert samples(collector.collect())["face_assets_scrape_collector_successhangs"] == 1.0


def test_the_endpoint_answers_many_at_once(free_ports: Callable[[int], list[int]]) -> None:
    reads: list[int] = []

    def slow() -> Iterable[Metric]:
        reads.append(1)
        time.sleep(0.3)
        return good()

    (port,) = free_ports(1)
    server, thread = serve([MetricsCollector("slow", slow)], "127.0.0.1", port, lambda line: None)

    def scrape(_: int) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            families = {family.name: family for family in text_string_to_metric_families(answer.read().decode())}
        return float(families["good"].samples[0].value)

    began = time.monotonic()
    with ThreadPoolExecutor(40) as pool:
        assert list(pool.map(scrape, range(40))) == [7.0] * 40
    took = time.monotonic() - began
    assert took < 30
    assert len(reads) <= 1 + took, "simultaneous scrapes share one reading"  # they stand more than a second apart
    server.shutdown()
    thread.join()
