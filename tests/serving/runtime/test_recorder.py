"""The recorder: what a kill can lose, clocks that jump, disks that fill; serving goes on."""

import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from face_assets.evaluation.feature_histograms import FeatureHistograms, without_face
from face_assets.serving.runtime.recorder import Recorder
from face_assets.serving.runtime.traffic import Traffic, is_internal

NO_END = 10**9
"""Seconds of a window that no test sees the end of."""
NOON = 1_800_000_000 - 1_800_000_000 % 3600


class Clock:
    """A wall clock and a steady one, as a test sets them."""

    def __init__(self) -> None:
        self.wall, self.steady = float(NOON), 0.0

    def later(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def recorder(tmp_path: Path, clock: Clock, told: list[str]) -> Recorder:
    def problem(event: str, **facts: Any) -> None:
        told.append(event)

    return Recorder(tmp_path / "traffic", "v1.0.0", problem, clock=lambda: clock.wall, steady=lambda: clock.steady)


def stored(folder: Path) -> dict[str, int]:
    """Photos by window."""
    found: dict[str, int] = {}
    for file in sorted(folder.glob("*/*.npz")):
        found[file.parent.name] = found.get(file.parent.name, 0) + FeatureHistograms.load(file).photos
    return found


def test_windows_follow_the_clock_and_flushes_replace(recorder: Recorder, clock: Clock, tmp_path: Path) -> None:
    for _ in range(5):
        recorder.add(without_face(), 0, 0)
        recorder.flush()
        clock.later(1000)
    recorder.flush()
    assert stored(tmp_path / "traffic") == {"2027-01-15-08:00": 4, "2027-01-15-09:00": 1}
    assert len(list((tmp_path / "traffic").glob("*/*"))) == 2


def test_a_clock_set_back_overwrites_nothing_and_is_told(recorder: Recorder, clock: Clock, told: list[str], tmp_path: Path) -> None:
    recorder.add(without_face(), 0, 0)
    clock.later(3600)
    recorder.add(without_face(), 0, 0)
    recorder.flush()
    clock.wall -= 3600
    recorder.add(without_face(), 0, 0)
    recorder.flush()
    assert stored(tmp_path / "traffic") == {"2027-01-15-08:00": 2, "2027-01-15-09:00": 1}
    assert told == ["clock_jumped"]


@contextmanager
def full_disk() -> Iterator[None]:
    """A file may grow to 200 bytes, less than any file of histograms: the kernel refuses the rest, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_told_once_and_loses_nothing(recorder: Recorder, clock: Clock, told: list[str], tmp_path: Path) -> None:
    with full_disk():
        for _ in range(3):
            recorder.add(without_face(), 0, 0)
            assert not recorder.flush()
            clock.later(3600)
    assert told == ["histograms_not_written"]
    assert not list((tmp_path / "traffic").glob("*/*")), "nothing is left half written"
    assert recorder.flush()
    assert sum(stored(tmp_path / "traffic").values()) == 3


KILLED = """
import os, signal, sys
from pathlib import Path
from face_assets.serving.runtime.recorder import Recorder
from face_assets.evaluation.feature_histograms import without_face
recorder = Recorder(Path(sys.argv[1]), "v1.0.0", print)
for number in range(2000):
    recorder.add(without_face(), 0, 0)
    if number % 2 == 0:
        recorder.flush()
        print(number + 1, flush=True)
"""


def test_a_kill_loses_what_was_not_flushed_and_breaks_no_file(tmp_path: Path) -> None:
    for lines in (1, 7, 40):
        folder = tmp_path / str(lines)
        with subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], stdout=subprocess.PIPE) as child:
            assert child.stdout
            flushed = [int(child.stdout.readline()) for _ in range(lines)][-1]
            child.kill()
            rest = child.stdout.read().split()
        assert sum(stored(folder).values()) in range(int(rest[-1]) if rest else flushed, 2001)


class Family:
    """Triton's metric families, as far as the models use them."""

    COUNTER, HISTOGRAM = range(2)
    values: dict[str, list[float]]
    threads: set[int]

    def __init__(self, name: str, description: str, kind: int):
        self.name = name

    def Metric(self, labels: dict[str, str], buckets: Any = None) -> "Family":  # noqa: N802
        assert labels == {"release": "v1.0.0"}
        return self

    def increment(self, value: float) -> None:
        self.values.setdefault(self.name, []).append(value)
        self.threads.add(threading.get_ident())

    observe = increment


def traffic(folder: Path, model: str = "face_recognizer") -> tuple[Traffic, type[Family]]:
    family = type("OneFamily", (Family,), {"values": {}, "threads": set()})
    environment = {"FACE_ASSETS_TRAFFIC": str(folder), "FACE_ASSETS_TRAFFIC_WINDOW": str(NO_END), "FACE_ASSETS_PROBE_TOKEN": "secret"}
    return Traffic(model, "v1.0.0", family, environment), family


def ask(one: Traffic, faces: int = 2, parameters: str = "") -> None:
    boxes = np.array([[0, 0, 64, 64]] * faces, np.float32).reshape(-1, 4)
    crops = np.zeros((faces, 160, 160, 3), np.uint8)
    vectors = np.full((faces, 64), 1 / 8, np.float32)
    verdicts = (np.full(faces, 0.5), np.full(faces, True), np.full(faces, 90.0), np.full(faces, False))
    one.record(parameters, 0.1, crops, boxes, np.full(faces, 0.99), vectors, *verdicts)


def test_many_threads_count_and_one_changes_metrics(tmp_path: Path) -> None:
    one, family = traffic(tmp_path)

    def ask_often() -> None:
        for _ in range(50):
            ask(one)

    threads = [threading.Thread(target=ask_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    ask(one, faces=0)
    ask(one, parameters='{"face_assets_probe": "secret"}')  # the platform's own request
    one.refused("", "the photo cannot be used: truncated")
    one.failed("", 0.1, "the embedder is broken")
    for thread in threads:
        thread.join()
    one.close()
    assert sum(family.values["face_assets_photos_total"]) == 201
    assert sum(family.values["face_assets_faces_accepted_total"]) == 400
    assert (family.values["face_assets_photos_refused_total"], family.values["face_assets_photos_failed_total"]) == ([1], [1])
    assert 25 <= len(family.values["face_assets_face_size_pixels"]) <= 400  # of a flood, a part
    assert len(family.threads) == 1
    (file,) = tmp_path.glob("*/*.npz")
    found = FeatureHistograms.load(file)
    assert (found.photos, found.without_face, found.refused, found.faces) == (201, 1, 1, 400)


@pytest.mark.parametrize(
    "parameters",
    [
        *("", "{}", "face_assets_probe", '["face_assets_probe"]', '{"other": "face_assets_probe secret"}'),
        *(f'{{"face_assets_probe": {value}}}' for value in ("true", '""', '"Secret"', '["secret"]', '"\\ud800"')),
        '{"face_assets_probe":' + "[" * 50_000,
    ],
)
def test_only_the_token_hides_a_question(parameters: str) -> None:
    assert not is_internal(parameters, "secret")
    assert not is_internal(parameters, "")
    assert is_internal('{"face_assets_probe": "secret", "other": 1}', "secret")


def test_a_problem_of_the_recording_is_told_in_a_line_and_stops_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    one, family = traffic(tmp_path / "file")  # no folder can be made there
    ask(one)
    one.record("", 0.1, None, np.zeros((1, 4)), None, None, None, None, None, None)
    one.close()
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all('"event": ' in line for line in lines)
    assert sum(family.values["face_assets_photos_total"]) == 1


@pytest.mark.parametrize("wrong", [lambda one: ask(one), lambda one: one.refused("", "truncated")])
def test_a_candidate_has_no_traffic(wrong: Callable[[Traffic], None], tmp_path: Path) -> None:
    one, family = traffic(tmp_path, "candidate_face_recognizer")
    wrong(one)
    one.close()
    assert not family.values
    assert not list(tmp_path.iterdir())
