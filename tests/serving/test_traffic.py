"""Traffic of the real server: metrics by release and never by person, histograms that survive a kill."""

import json
import os
import signal
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pyrage import decrypt, x25519

from face_assets.core.errors import UserError
from face_assets.evaluation.feature_histograms import NAMES, FeatureHistograms
from face_assets.monitoring.triton_metrics import read_traffic
from face_assets.serving.client import RecognizerClient
from face_assets.serving.embedded import EmbeddedTarget
from face_assets.serving.internal_token import internal_token
from face_assets.serving.record_of_use import lines_of, verify
from face_assets.serving.runtime.use_record import CALLER
from face_assets.serving.triton_server import Recording
from tests.serving.conftest import PEOPLE
from tests.waiting import until

pytestmark = pytest.mark.slow
CLIENTS, PHOTOS = 3, 8
OFFICER = x25519.Identity.generate()


@pytest.fixture(scope="module")
def target(kit: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedTarget]:
    """A server that writes its histograms every half second, and answers nothing without a record."""
    made = kit.target(tmp_path_factory.mktemp("server") / "serving", record=Recording("required", str(OFFICER.to_public())))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FACE_ASSETS_TRAFFIC_FLUSH", "0.5")
        made.start()
    yield made
    made.stop()


def metrics(target: EmbeddedTarget) -> dict[str, float]:
    """The models' own, by name and labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{target.ports.metrics}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    ours = [line.rpartition(" ") for line in lines if line.startswith("face_assets_")]
    return {name: float(value) for name, _, value in ours}


def recorded(target: EmbeddedTarget) -> dict[str, FeatureHistograms]:
    """By release."""
    found: dict[str, FeatureHistograms] = {}
    for file in (target.root / "traffic").glob("*/*.npz"):
        histograms = FeatureHistograms.load(file)
        if histograms.release in found:
            found[histograms.release].merge(histograms)
        else:
            found[histograms.release] = histograms
    return found


def ask(kit: Any, target: EmbeddedTarget) -> None:
    """Several clients at once, each with one file that is no photo. The platform states the first one's name, the others forge theirs."""
    token = internal_token(target.root)

    def client(number: int) -> None:
        recognizer = RecognizerClient(f"127.0.0.1:{target.ports.grpc}")
        recognizer.parameters = {CALLER: f"{'forged' if number else token} till-{number}"}
        for number in range(PHOTOS):
            recognizer.identify(kit.photo(PEOPLE[number % len(PEOPLE)], 1))
        with pytest.raises(UserError):
            recognizer.identify(b"this is no photo")

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@contextmanager
def scraped(target: EmbeddedTarget) -> Iterator[list[dict[str, float]]]:
    """Collects the metrics of a scraper that reads all the time."""
    seen: list[dict[str, float]] = []
    over = threading.Event()

    def scrape() -> None:
        while not over.is_set():
            seen.append(metrics(target))
            time.sleep(0.02)

    with ThreadPoolExecutor(1) as pool:
        scraping = pool.submit(scrape)
        try:
            yield seen
        finally:
            over.set()
        scraping.result()


def test_traffic_is_told_by_release_and_outlives_a_kill(kit: Any, target: EmbeddedTarget) -> None:
    asked = CLIENTS * PHOTOS
    for release in ("v1.0.0", "v2.0.0"):
        with scraped(target) as seen:
            kit.deploy(target, release)  # its golden requests are no traffic
            ask(kit, target)
        first = [one.get('face_assets_photos_total{release="v1.0.0"}', 0.0) for one in seen]
        assert first == sorted(first), "a deployment takes nothing back"
        wanted = {
            f'face_assets_photos_total{{release="{release}"}}': asked,
            f'face_assets_photos_refused_total{{release="{release}"}}': CLIENTS,
        }
        assert until(lambda wanted=wanted: wanted.items() <= metrics(target).items()), metrics(target)  # type: ignore[misc]
    told = metrics(target)
    assert told['face_assets_photos_total{release="v1.0.0"}'] == asked
    assert told['face_assets_detection_probability_count{release="v2.0.0"}'] >= asked
    assert told['face_assets_best_similarity_bucket{release="v2.0.0",le="+Inf"}'] >= asked
    everyone = {f"{release} {person}" for release in ("v1.0.0", "v2.0.0") for person in PEOPLE}
    assert not [name for name in told for person in everyone if person in name]
    assert until(lambda: recorded(target).get("v2.0.0", FeatureHistograms("", 0, 1)).photos == asked)
    assert until(lambda: recorded(target)["v2.0.0"].refused == CLIENTS)

    pid = target.status().pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    found = recorded(target)
    for release in ("v1.0.0", "v2.0.0"):
        assert (found[release].photos, found[release].refused) == (asked, CLIENTS)
    assert found["v2.0.0"].counts[NAMES.index("brightness")].sum() == asked
    log = (target.root / "triton.log").read_text(encoding="utf-8", errors="replace")
    assert '"event": "photos_refused"' in log

    report = verify(target.root / "record", {})
    assert (report.problems, report.not_recorded) == (0, 0), report.sentences
    lines = [line.content.decode() for line in lines_of(target.root / "record")]
    used = Counter((line["release"], line.get("error"), line.get("accepted"), line["caller"]) for line in map(json.loads, lines))
    assert used == {
        (release, *outcome, caller): clients * number
        for release in ("v1.0.0", "v2.0.0")
        for outcome, number in (((None, 1), PHOTOS), (("unusable", None), 1))
        for caller, clients in (("till-0", 1), (None, CLIENTS - 1))
    }, "golden requests are no use"
    assert not [person for person in everyone if person in log or any(person in line for line in lines)]
    sealed = [decrypt(file.read_bytes(), [OFFICER]) for file in (target.root / "record" / "photos").glob("*/*.age")]
    assert len(sealed) == 2 * asked and all(any(person.encode() in one for person in everyone) for one in sealed)


FAULTS = """
        if Path({folder!r}, "broken").exists():
            raise RuntimeError
        if Path({folder!r}, "slow").exists():
            import time
            time.sleep(2)
"""
MUTE = """
        if Path({folder!r}, "mute").exists():
            class Mute:
                def send(self, *_, **__):
                    Mute.send = sender.send
                    raise MemoryError("no shared memory")
            return send(pb_utils, Mute(), response)
        send(pb_utils, sender, response)"""


@pytest.fixture(scope="module")
def fragile(kit: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EmbeddedTarget, Path]]:
    """A live release, and a folder: its embedder is broken, slow or mute while a file of that name lies there."""
    folder = tmp_path_factory.mktemp("faults")
    target = kit.target(folder / "serving")
    version = kit.write(target.models, "v1.0.0")
    begins, ends = "def execute(self, requests):\n", "\n        send(pb_utils, sender, response)"
    changes = {begins: begins + FAULTS.format(folder=str(folder)), ends: MUTE.format(folder=str(folder))}
    kit.change(target.models, version, "face_embedder", changes)
    target.start()
    target.deploy(version, kit.golden_requests("v1.0.0"), kit.budget)
    yield target, folder
    target.stop()


@contextmanager
def fault(folder: Path, name: str) -> Iterator[None]:
    """The embedder has it meanwhile."""
    (folder / name).touch()
    yield
    (folder / name).unlink()


def test_a_broken_embedder_is_told_as_failures_and_not_as_bad_photos(kit: Any, fragile: tuple[EmbeddedTarget, Path]) -> None:
    """Triton counts a model's error response as a success, so its own counters do not show it."""
    target, folder = fragile
    recognizer = RecognizerClient(f"127.0.0.1:{target.ports.grpc}")
    with fault(folder, "broken"):
        for content in (kit.photo(PEOPLE[0], 1), b"this is no photo"):
            with pytest.raises(UserError):
                recognizer.identify(content)
    names = [f'face_assets_photos_{what}total{{release="v1.0.0"}}' for what in ("failed_", "refused_", "")]
    assert until(lambda: [metrics(target).get(name) for name in names] == [1, 1, 0])


def test_slow_answers_are_told_to_their_end(kit: Any, fragile: tuple[EmbeddedTarget, Path]) -> None:
    """Triton's own time ends when a model has taken a photo."""
    target, folder = fragile
    recognizer = RecognizerClient(f"127.0.0.1:{target.ports.grpc}")
    photo = kit.photo(PEOPLE[0], 1)
    began = timed(target)
    recognizer.identify(photo)
    assert until(lambda: timed(target)[0] == began[0] + 1)
    began = timed(target)
    for name in ("slow", "none"):
        with fault(folder, name):
            started = time.monotonic()
            recognizer.identify(photo)
            waited = time.monotonic() - started
        assert until(lambda before=began: timed(target)[0] == before[0] + 1)  # type: ignore[misc]
        ended = timed(target)
        assert (2 if name == "slow" else 0) < ended[1] - began[1] < waited
        began = ended
    assert read_traffic(f"http://127.0.0.1:{target.ports.metrics}", 5.0).milliseconds == pytest.approx(1000 * began[1] / began[0])


def timed(target: EmbeddedTarget) -> tuple[float, float]:
    """Returns the number of timed responses, and their seconds."""
    told = metrics(target)
    count, seconds = (told.get(f'face_assets_answer_seconds_{part}{{release="v1.0.0"}}', 0.0) for part in ("count", "sum"))
    return count, seconds


def test_an_answer_that_cannot_be_sent_is_told_and_the_next_are_sent(kit: Any, fragile: tuple[EmbeddedTarget, Path]) -> None:
    target, folder = fragile
    recognizer = RecognizerClient(f"127.0.0.1:{target.ports.grpc}", seconds=20.0)
    with fault(folder, "mute"):
        for _ in range(3):
            with pytest.raises(UserError, match="the response could not be sent"):
                recognizer.identify(kit.photo(PEOPLE[0], 1))
    assert recognizer.identify(kit.photo(PEOPLE[0], 1)).release == "v1.0.0"
    assert '"reason": "MemoryError: no shared memory"' in (target.root / "triton.log").read_text(encoding="utf-8", errors="replace")
