"""The status: whole where all is well, and there in seconds where everything hangs."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from face_assets.cli.status import status_report
from face_assets.cli.status_text import next_step, status_text
from face_assets.monitoring.triton_metrics import Traffic, parse_traffic

METRICS = """
# HELP face_assets_photos_total Photos answered
# TYPE face_assets_photos_total counter
face_assets_photos_total{release="v1.0.0"} 720
face_assets_photos_total{release="v2.0.0"} 80
# TYPE face_assets_photos_without_face_total counter
face_assets_photos_without_face_total{release="v2.0.0"} 30
# TYPE face_assets_photos_failed_total counter
face_assets_photos_failed_total{release="v2.0.0"} 4
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="face_recognizer",version="1"} 700
nv_inference_request_success{model="face_detector",version="1"} 9000
# TYPE nv_inference_request_failure counter
nv_inference_request_failure{model="face_recognizer",reason="BACKEND",version="1"} 7
# TYPE nv_inference_request_duration_us counter
nv_inference_request_duration_us{model="face_recognizer",version="1"} 35000
# TYPE face_assets_answer_seconds histogram
face_assets_answer_seconds_count{release="v1.0.0"} 620
face_assets_answer_seconds_sum{release="v1.0.0"} 30
face_assets_answer_seconds_count{release="v2.0.0"} 80
face_assets_answer_seconds_sum{release="v2.0.0"} 5
"""


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that accepts connections and never sends anything."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield server.getsockname()[1]


def test_traffic_is_of_all_releases_and_of_the_recognizer_alone() -> None:
    assert parse_traffic(METRICS) == Traffic(800, 30, 0, 0, 0, 707, 11, 50.0)
    assert parse_traffic("") == Traffic(0, 0, 0, 0, 0, 0, 0, None)
    with pytest.raises(ValueError):
        parse_traffic("face_assets_photos_total{ 7")


def test_a_fresh_home_says_so(home: Path) -> None:
    text = status_text(status_report())
    assert "none yet" in text
    assert "down (face-assets up starts it)" in text
    assert "no report yet" in text
    assert len(text.splitlines()) < 24


def test_the_next_step_is_the_first_that_is_missing(home: Path) -> None:
    found = status_report()
    assert next_step(found).startswith("face-assets init")
    found |= {"repository": "/data"}
    assert next_step(found).startswith("face-assets run")
    found |= {"production": {"version": "v1.0.0"}}
    assert next_step(found).startswith("face-assets up")
    found["server"]["ready"] = found["ui"]["up"] = True
    assert next_step(found).startswith("face-assets identify")
    found |= {"runs": [{"run": "3fa2b1c9-0000", "outcome": "failed"}]}
    assert next_step(found).startswith("face-assets watch 3fa2b1c9 ")


def test_where_everything_hangs_the_status_still_comes(home: Path, silent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("METRICS_PORT", "UI_PORT"):
        monkeypatch.setenv(f"FACE_ASSETS_{name}", str(silent))
    monkeypatch.setenv("FACE_ASSETS_REPO", f"http://127.0.0.1:{silent}/people.git")
    found = status_report()
    assert found["ui"]["up"] is False
    assert "no response" in found["production"]["error"] or "no result" in found["production"]["error"]
    assert "error" in found["traffic"]
    assert "unknown" in status_text(found)
