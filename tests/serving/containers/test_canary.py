"""What a canary lets through, what it stops, and what an image is named and dated by."""

import os
from pathlib import Path

import pytest

from face_assets.params import Serving
from face_assets.serving.containers.builder import _refusal, fill
from face_assets.serving.containers.canary import Traffic, judge
from face_assets.serving.containers.engine import EngineGoneError
from face_assets.serving.containers.haproxy import share_weight

BUDGET = Serving(max_latency_ms=100.0, canary_max_errors=0.01)


@pytest.mark.parametrize(
    ("candidate", "live", "lost", "over", "failed"),
    [
        (Traffic(100, 0, 5.0), Traffic(900, 0, 45.0), 0, True, []),
        (Traffic(), Traffic(), 0, True, []),  # nobody asked
        (Traffic(90, 10, 5.0), Traffic(810, 90, 45.0), 0, True, []),  # callers' bad photos fail at both
        (Traffic(90, 10, 5.0), Traffic(900, 0, 45.0), 0, False, ["canary errors"]),
        (Traffic(90, 0, 5.0), Traffic(900, 0, 45.0), 10, False, ["canary errors"]),  # they were asked again elsewhere, but it lost them
        (Traffic(100, 0, 15.0), Traffic(900, 0, 45.0), 0, False, ["canary latency"]),
        (Traffic(3, 0, 1.0), Traffic(900, 0, 45.0), 0, False, []),  # the first are late: there is time
        (Traffic(3, 0, 1.0), Traffic(900, 0, 45.0), 0, True, ["canary latency"]),
    ],
)
def test_the_verdict(candidate: Traffic, live: Traffic, lost: int, over: bool, failed: list[str]) -> None:
    assert [check.name for check in judge(candidate, live, lost, BUDGET, over) if not check.passed] == failed


def test_a_share_is_a_weight() -> None:
    assert [share_weight(share) for share in (0.001, 0.1, 0.5)] == [1, 11, 100]


def test_the_same_content_has_the_same_time_and_other_content_of_the_same_size_another(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("one")
    for context in ("a", "b"):
        fill(tmp_path / context, {"x/file": tmp_path / "file"})
        os.utime(tmp_path / "file", (0, 0))
    (tmp_path / "file").write_text("two")
    fill(tmp_path / "c", {"x/file": tmp_path / "file"})
    times = [(tmp_path / context / "x" / "file").stat().st_mtime for context in ("a", "b", "c")]
    assert times[0] == times[1] != times[2]


def test_a_build_that_fails_says_why() -> None:
    assert "disk is full" in str(_refusal("x", ["#5 write /a: no space left on device", "ERROR: failed to build"]))
    assert isinstance(_refusal("x", ["Cannot connect to the Docker daemon at unix:///var/run/docker.sock."]), EngineGoneError)
