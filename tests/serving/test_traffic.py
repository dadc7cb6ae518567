"""What the real server tells of its traffic: metrics by release and never by person, sketches that a kill does not break."""

import os
import signal
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from face_assets.errors import UserError
from face_assets.serving.client import RecognizerClient
from face_assets.serving.embedded import EmbeddedTarget
from face_assets.vision.sketches import NAMES, Sketch
from tests.serving.conftest import PEOPLE

pytestmark = pytest.mark.slow
CLIENTS, PHOTOS = 3, 8


@pytest.fixture(scope="module")
def target(kit: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedTarget]:
    """A server that writes its sketches every half second."""
    made = kit.target(tmp_path_factory.mktemp("server") / "serving")
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


def sketched(target: EmbeddedTarget) -> dict[str, Sketch]:
    """By release."""
    found: dict[str, Sketch] = {}
    for file in (target.root / "traffic").glob("*/*.npz"):
        sketch = Sketch.load(file)
        if sketch.release in found:
            found[sketch.release].merge(sketch)
        else:
            found[sketch.release] = sketch
    return found


def until(true: Callable[[], bool]) -> bool:
    """Whether it becomes true within ten seconds."""
    ends = time.monotonic() + 10
    while not true() and time.monotonic() < ends:
        time.sleep(0.1)
    return true()


def ask(kit: Any, target: EmbeddedTarget) -> None:
    """Several clients at once, each with one file that is no photo."""

    def client() -> None:
        recognizer = RecognizerClient(f"127.0.0.1:{target.ports.grpc}")
        for number in range(PHOTOS):
            recognizer.identify(kit.photo(PEOPLE[number % len(PEOPLE)], 1))
        with pytest.raises(UserError):
            recognizer.identify(b"this is no photo")

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_traffic_is_told_by_release_and_outlives_a_kill(kit: Any, target: EmbeddedTarget) -> None:
    asked = CLIENTS * PHOTOS
    for release in ("v1.0.0", "v2.0.0"):
        kit.deploy(target, release)  # its probes are no traffic
        ask(kit, target)
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
    assert until(lambda: sketched(target).get("v2.0.0", Sketch("", 0, 1)).photos == asked)
    assert until(lambda: sketched(target)["v2.0.0"].refused == CLIENTS)

    pid = target.status().pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    found = sketched(target)
    for release in ("v1.0.0", "v2.0.0"):
        assert (found[release].photos, found[release].refused) == (asked, CLIENTS)
    assert found["v2.0.0"].counts[NAMES.index("brightness")].sum() == asked
    assert '"event": "photos_refused"' in (target.root / "triton.log").read_text(encoding="utf-8", errors="replace")
