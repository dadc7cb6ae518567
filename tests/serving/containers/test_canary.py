"""Verdict of a canary, and names and file times of images."""

import os
from pathlib import Path

import pytest

from face_assets.core.params import Serving
from face_assets.serving.containers.builder import _build_error, fill
from face_assets.serving.containers.canary import Traffic, judge, parse_traffic
from face_assets.serving.containers.docker_engine import DockerUnreachableError
from face_assets.serving.containers.haproxy import share_weight

BUDGET = Serving(max_latency_ms=100.0, canary_max_errors=0.01)
LIVE = Traffic(900, 0, 900, 45.0)


@pytest.mark.parametrize(
    ("candidate", "live", "lost", "over", "failed"),
    [
        (Traffic(100, 0, 100, 5.0), LIVE, 0, True, []),
        (Traffic(), Traffic(), 0, True, []),  # no traffic
        (Traffic(100, 10, 90, 5.0), Traffic(900, 90, 810, 45.0), 0, True, []),  # what fails at both is not the candidate's
        (Traffic(100, 10, 90, 5.0), LIVE, 0, False, ["canary errors"]),
        (Traffic(90, 0, 90, 5.0), LIVE, 10, False, ["canary errors"]),  # they were sent again elsewhere, but it lost them
        (Traffic(100, 0, 100, 15.0), LIVE, 0, False, ["canary latency"]),
        (Traffic(100, 80, 20, 3.0), Traffic(900, 720, 180, 9.0), 0, False, ["canary latency"]),  # those of bad photos are soon there
        (Traffic(3, 0, 3, 1.0), LIVE, 0, False, []),  # the first are late: there is time
        (Traffic(3, 0, 3, 1.0), LIVE, 0, True, ["canary latency"]),
    ],
)
def test_the_verdict(candidate: Traffic, live: Traffic, lost: int, over: bool, failed: list[str]) -> None:
    assert [check.name for check in judge(candidate, live, lost, BUDGET, over) if not check.passed] == failed


def test_a_servers_own_faults_count_as_failed_and_a_callers_do_not() -> None:
    """Metrics of Triton 2.51, which counts a model's error response as a success, and times no response to its end."""
    text = """
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="face_recognizer",version="1"} 19
nv_inference_request_success{model="face_embedder",version="1"} 9
# TYPE nv_inference_request_failure counter
nv_inference_request_failure{model="face_recognizer",reason="REJECTED",version="1"} 1
nv_inference_request_failure{model="face_recognizer",reason="BACKEND",version="1"} 2
nv_inference_request_failure{model="face_detector",reason="BACKEND",version="1"} 3
# TYPE nv_inference_request_duration_us counter
nv_inference_request_duration_us{model="face_recognizer",version="1"} 19000
# TYPE face_assets_photos_refused_total counter
face_assets_photos_refused_total{release="v1.0.0"} 3
# TYPE face_assets_photos_failed_total counter
face_assets_photos_failed_total{release="v1.0.0"} 6
# TYPE face_assets_answer_seconds histogram
face_assets_answer_seconds_count{release="v1.0.0"} 16
face_assets_answer_seconds_sum{release="v1.0.0"} 3.2
face_assets_answer_seconds_bucket{release="v1.0.0",le="0.5"} 16
face_assets_answer_seconds_bucket{release="v1.0.0",le="+Inf"} 16
"""
    assert parse_traffic(text) == Traffic(22, 8, 16, 3.2)
    assert parse_traffic(text).mean_ms == 200.0


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
    assert "disk is full" in str(_build_error("x", ["#5 write /a: no space left on device", "ERROR: failed to build"]))
    assert isinstance(_build_error("x", ["Cannot connect to the Docker daemon at unix:///var/run/docker.sock."]), DockerUnreachableError)
