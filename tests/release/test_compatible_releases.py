"""Releases that compare: a commit pulls towards production and is a MINOR; the same inputs are never trained anew."""

from pathlib import Path

import pytest

from face_assets.core.files import read_json
from face_assets.registry.workspace import Workspace
from tests.embedding.fitted_weights import write_fitted_weights
from tests.release.test_steps import Made, commit, data, photos, stores, warm_home

__all__ = ["data", "photos", "stores", "warm_home"]
PARAMS = """
split: {{validation: 0.0, test: 0.6, min_test_people: 2}}
detector: {{image_size: 80, margin: 16, align: upright}}
embedder: {{weights: {weights}, whitening: per_image}}
train: {{epochs: 2, batch_size: 8, min_people: 2{train}}}
evaluation: {{far: 0.1, fpir: 0.1, min_auc: 0.0, min_accuracy: 0.0, max_regression: 1.0, max_compatibility_loss: {loss},
  stress: {{conditions: {{}}}}}}
gallery: {{action: report}}
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a seed, whose normalizations fit their activations."""
    return write_fitted_weights(tmp_path_factory.mktemp("weights") / "start.pt")


def test_a_commit_pulls_towards_production_and_the_same_inputs_are_never_trained_anew(data: Path, weights: Path) -> None:
    def change(train: str = "", loss: float = 0.5) -> None:
        commit(data, params_yaml=PARAMS.format(weights=weights, train=train, loss=loss))

    change()
    first = Made()
    embedder = first.parts.embedder
    assert (first.release["release"], embedder.summary["pulled_towards"]) == ("v1.0.0", None)
    assert "Templates of no earlier release were shown to compare" in first.card

    change(", seed: 1")
    second = Made()
    assert second.parts.embedder.summary["pulled_towards_release"] == "v1.0.0"
    assert second.release["release"] == "v1.1.0", second.log
    assert "Templates of v1.0.0 compare" in second.card and "pulled towards the embeddings of v1.0.0" in second.card
    release = Workspace.load().releases.get("v1.1.0")
    assert release.lineage.compatible_with == ("v1.0.0",) and release.lineage.measured["v1.0.0"]["is_compatible"]
    assert read_json(second.directory / "compatibility.json")["compatible_with"] == ["v1.0.0"]

    again = Made()
    assert (again.release["release"], again.parts.embedder.reused) == ("v1.1.0", True), "its own release is in production now"

    change(", seed: 1", loss=0.4)  # a commit that changes no input of the training, as one of the gallery alone
    assert Made(late=True).parts.embedder.fingerprint == second.parts.embedder.fingerprint
    change()
    assert Made(late=True).parts.embedder.fingerprint == embedder.fingerprint, "a revert trains as it was"

    change(", compatible_with: none, seed: 2, learning_rate: 0.5", loss=0.0)
    free = Made()
    assert free.parts.embedder.summary["pulled_towards"] is None
    assert free.release["release"] == "v2.0.0", free.log
    lineage = Workspace.load().releases.get("v2.0.0").lineage
    assert not lineage.compatible_with and "v1.1.0: old templates against new probes" in lineage.reason
