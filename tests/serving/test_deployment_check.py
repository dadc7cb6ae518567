"""Verification: what differs from offline, comes late or does not load never takes traffic."""

import dataclasses
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from face_assets.core.errors import UserError
from face_assets.core.params import Serving
from face_assets.gallery.enrolment import templates_of, write_gallery
from face_assets.gallery.search import Gallery
from face_assets.serving import embedded
from face_assets.serving.client import Answer, Face, RecognizerClient
from face_assets.serving.deployment_check import NO_PHOTO, GoldenRequest, check_deployment
from face_assets.serving.embedded import EmbeddedTarget
from face_assets.serving.model_control import KEY_HEADER
from face_assets.serving.target import DeploymentRefusedError
from face_assets.serving.triton_server import Address


class Canned(RecognizerClient):
    """Answers each golden request with a given embedding."""

    def __init__(self, embeddings: dict[bytes, np.ndarray], identity: str):
        super().__init__("nowhere")
        self.embeddings = embeddings
        self.identity = identity

    def identify(self, photo: bytes) -> Answer:
        if photo == NO_PHOTO:
            raise UserError("the photo cannot be used: not an image")
        vector = self.embeddings[photo]
        face = Face(np.zeros(4, np.float32), 1.0, self.identity, float(vector[0]), bool(self.identity), vector)
        return Answer([face], "v1.0.0")


def report_of(served: list[list[float]], threshold: float = 0.5, identity: str = "a") -> Any:
    """Returns the report where every offline result is (1, 0), person a at 1.0, and the served one `identity`, "" for nobody."""
    good = np.array([1, 0], np.float32)
    requests = [GoldenRequest(str(number).encode(), good, "a", 1.0, threshold) for number in range(len(served))]
    vectors = {golden.content: np.array(vector, np.float32) for golden, vector in zip(requests, served, strict=True)}
    return check_deployment(Canned(vectors, identity), "v1.0.0", requests, Serving())


def test_the_same_answers_pass() -> None:
    assert report_of([[1, 0], [1, 0]]).passed


@pytest.mark.parametrize(
    ("threshold", "identity", "passed"),
    [
        (0.5, "a", True),
        (0.5, "b", False),
        (0.5, "", False),
        (1.5, "", True),
        (1.5, "a", False),
        (1.5, "b", False),
        (0.999, "a", True),
        (0.999, "", True),
        (1.001, "a", True),
        (1.001, "b", False),
    ],
)
def test_a_wrong_decision_fails_but_one_that_the_last_bits_decide(threshold: float, identity: str, passed: bool) -> None:
    assert report_of([[1, 0]], threshold, identity).passed is passed


@pytest.mark.parametrize(("threshold", "identity"), [(0.5, "a"), (1.5, "")])
@pytest.mark.parametrize("place", [0, 1])
def test_an_embedding_that_is_not_a_number_fails_wherever_it_stands(place: int, threshold: float, identity: str) -> None:
    served = [[1.0, 0.0], [1.0, 0.0]]
    served[place] = [float("nan"), 0.0]
    assert {check.name for check in report_of(served, threshold, identity).checks if not check.passed} == {"embeddings", "decisions"}


def test_an_embedding_of_another_size_fails() -> None:
    assert "worst cosine" in report_of([[1, 0, 0]]).failures


def test_no_golden_request_is_a_failed_check() -> None:
    assert not report_of([]).passed


@pytest.fixture(scope="module")
def live(kit: Any, target: EmbeddedTarget) -> EmbeddedTarget:
    kit.deploy(target, "v1.0.0")
    return target


def refused(
    kit: Any,
    live: EmbeddedTarget,
    match: str,
    requests: list[GoldenRequest],
    budget: Serving | None = None,
    bundle: Path | None = None,
) -> None:
    """The release v2.0.0, or the files of `bundle` under its name, is refused; v1.0.0 serves, and nothing is left of the candidate."""
    candidate = kit.write(live.models, "v2.0.0", bundle, commit=match.replace(" ", ""))
    with pytest.raises(DeploymentRefusedError, match=match):
        live.deploy(candidate, requests, budget or kit.budget)
    assert client(live).identify(kit.photo(0, 2)).release == "v1.0.0"
    status = live.status()
    assert (status.ready, status.live.release if status.live else None) == (True, "v1.0.0")
    assert not list(live.models.glob("candidate_*"))
    assert [name for name, state in index(live) if name.startswith("candidate_") and state in ("READY", "LOADING")] == []


def client(target: EmbeddedTarget) -> RecognizerClient:
    return RecognizerClient(f"127.0.0.1:{target.ports.grpc}")


def index(target: EmbeddedTarget) -> list[tuple[str, str]]:
    """Names and states of the models that the server knows."""
    from tritonclient.grpc import InferenceServerClient

    address = target.server.address()
    assert isinstance(address, Address)
    asked = InferenceServerClient(f"127.0.0.1:{target.ports.grpc}").get_model_repository_index(headers={KEY_HEADER: address.key})
    return [(one.name, one.state) for one in asked.models]


def test_an_engine_of_another_kind_is_refused(kit: Any, live: EmbeddedTarget) -> None:
    refused(kit, live, "embeddings", kit.golden_requests("v1.0.0"))  # another embedding size than the golden requests'


def test_an_engine_that_answers_otherwise_is_refused(kit: Any, live: EmbeddedTarget) -> None:
    wrong = [dataclasses.replace(golden, embedding=np.roll(golden.embedding, 1)) for golden in kit.golden_requests("v2.0.0")]
    refused(kit, live, "worst cosine", wrong)


def test_a_gallery_of_other_people_is_refused(kit: Any, live: EmbeddedTarget, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(kit.bundle("v2.0.0"), bundle)
    gallery = Gallery.load(bundle)
    write_gallery(templates_of(gallery.templates, gallery.names[::-1]), bundle)
    refused(kit, live, "decisions", kit.golden_requests("v2.0.0"), bundle=bundle)


def test_a_candidate_that_does_not_load_is_refused(kit: Any, live: EmbeddedTarget, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(kit.bundle("v2.0.0"), bundle)
    weights = bundle / "embedder.bin"
    weights.write_bytes(weights.read_bytes()[:100])
    refused(kit, live, "does not load", kit.golden_requests("v2.0.0"), bundle=bundle)


def test_a_candidate_over_the_latency_budget_is_refused(kit: Any, live: EmbeddedTarget) -> None:
    refused(kit, live, r"budget 0.001 ms", kit.golden_requests("v2.0.0"), Serving(max_latency_ms=0.001))


def test_a_release_without_golden_requests_is_refused(kit: Any, live: EmbeddedTarget) -> None:
    refused(kit, live, "no golden request", [])


def test_a_server_that_dies_while_it_is_verified_is_a_sentence_and_comes_back(
    kit: Any, live: EmbeddedTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill_then_check(*arguments: Any) -> Any:
        pid = live.status().pid
        assert pid
        os.kill(pid, signal.SIGKILL)
        return check_deployment(*arguments)

    monkeypatch.setattr(embedded, "check_deployment", kill_then_check)
    with pytest.raises(UserError, match="does not respond"):
        live.deploy(kit.write(live.models, "v2.0.0"), kit.golden_requests("v2.0.0"), kit.budget)
    monkeypatch.undo()
    assert not live.status().running
    live.start()
    assert client(live).identify(kit.photo(0, 2)).release == "v1.0.0"
