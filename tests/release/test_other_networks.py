"""A detector and an embedder in ONNX through every step, from photos to the answer of a real Triton. The networks are the tests' own."""

from collections.abc import Callable
from pathlib import Path

import pytest

from face_assets.core.files import read_json
from face_assets.core.settings import remember
from face_assets.dataset.repository_creation import create_repository
from face_assets.serving.client import RecognizerClient
from face_assets.serving.steps import deploy, stop_servers
from tests.release.test_steps import Made
from tests.toy_networks import framed, write_detector, write_embedder

PARAMS = """
detector: {{model: {detector}, family: scrfd, input_size: 160, image_size: 96, margin: 0, align: box}}
embedder: {{weights: {embedder}, channels: bgr, std: [128, 128, 128]}}
evaluation: {{far: 0.05, fpir: 0.1, min_auc: 0.0, min_accuracy: 0.0, stress: {{conditions: {{noise: [10]}}, photos: 4}}}}
gallery: {{action: report}}
serving: {{golden_requests: 2, max_latency_ms: 60000}}
"""

pytestmark = pytest.mark.slow


def test_they_reach_the_server(tmp_path: Path, home: Path, free_ports: Callable[[int], list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    for person in range(4):
        (tmp_path / "photos" / f"Person {person}").mkdir(parents=True)
        for photo in range(3):
            framed(person, photo).save(tmp_path / "photos" / f"Person {person}" / f"{photo}.png")
    detector = write_detector(tmp_path / "toy.onnx", "scrfd")
    embedder = write_embedder(tmp_path / "embedder.onnx", 96)
    create_repository(tmp_path / "data", tmp_path / "photos", PARAMS.format(detector=detector, embedder=embedder), None, None)
    remember(repo=str(tmp_path / "data"))
    made = Made()
    assert made.parts.aligned.summary["found"] == 12
    assert made.release["production"], made.release["stage_reason"]
    assert "of the family scrfd, SHA-256 `" in made.card
    assert "(" + str(embedder) in made.card.replace("\\", "") and "is a network in ONNX, which is served as it is" in made.card
    assert made.parts.exported.summary["parity"]["openvino"]["min"] > 0.99999
    assert made.parts.exported.summary["embedding_size"] == 108
    figures = made.evaluation["figures"]
    assert figures["trained"]["auc"] == figures["start"]["auc"] == 1.0
    recorded = read_json(made.directory / "recognizer.json")["detector"]
    assert (recorded["family"], recorded["turned_below"]) == ("scrfd", 0.0)
    assert [file.name for file in (made.directory / "detector").iterdir()] == ["detector.onnx"]

    for name, port in zip(("HTTP", "GRPC", "METRICS"), ports := free_ports(3), strict=True):
        monkeypatch.setenv(f"FACE_ASSETS_{name}_PORT", str(port))
    from face_assets.registry.workspace import Workspace

    workspace = Workspace.load()
    try:
        deploy(workspace, made.log.append)
        answer = RecognizerClient(f"127.0.0.1:{ports[1]}").identify((tmp_path / "photos" / "Person 2" / "1.png").read_bytes())
        assert answer.release == "v1.0.0"
        assert len(answer.faces) == 1
        assert answer.faces[0].embedding.shape == (108,)
        assert answer.faces[0].score > 0.9
    finally:
        stop_servers(workspace)
