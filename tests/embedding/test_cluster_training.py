"""Training in parts on nodes that know nothing but what they are sent: the bytes of one training on this machine."""

import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from face_assets.core.fingerprint import tree_digest
from face_assets.embedding.cluster_training import TrainingOnNode, train_on_cluster
from face_assets.embedding.training import train
from face_assets.storage.content_store import ContentStore
from tests.embedding.fitted_weights import write_fitted_weights
from tests.embedding.training_requests import request

EPOCHS = 3


class Node:
    """Takes the place of a cluster: every part is trained by another process's copy of the work, and pauses after each epoch."""

    def __init__(self) -> None:
        self.parts = 0

    def most_processors(self) -> int:
        """Processors of the node."""
        return 1

    def result(self, work: TrainingOnNode, batch: list[bytes], processors: int) -> Any:
        """The next part."""
        self.parts += 1
        sent: TrainingOnNode = pickle.loads(pickle.dumps(replace(work, pause_after=0.0)))
        return sent.open()(batch)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_fitted_weights(tmp_path_factory.mktemp("weights") / "start.pt"))


@pytest.mark.parametrize(
    "settings",
    [{"unfreeze": "head"}, {"unfreeze": "block8", "degrade": {"camera": 1}}],
    ids=["head", "views from a block on"],
)
def test_parts_on_nodes_give_the_bytes_of_one_training(
    tmp_path: Path, crop_store: ContentStore, weights: str, settings: dict[str, Any]
) -> None:
    asked = request(tmp_path, crop_store, weights, epochs=EPOCHS, **settings)
    pulled = replace(asked, compatible=Path(shutil.copy(weights, tmp_path / "production.pt")))
    node, lines = Node(), list[str]()
    result = train_on_cluster(node, 1, pulled, tmp_path / "work", tmp_path / "nodes", 1, lines.append)  # type: ignore[arg-type]
    (tmp_path / "alone").mkdir()
    assert result.curve == train(pulled, tmp_path / "other work", tmp_path / "alone", 1, lambda _: None).curve
    assert tree_digest(tmp_path / "nodes") == tree_digest(tmp_path / "alone")
    assert node.parts == EPOCHS
    assert [line.split(",")[0] for line in lines if line.startswith("epoch")] == [f"epoch {n} of {EPOCHS}" for n in range(1, EPOCHS + 1)]
    assert not list(tmp_path.glob("nodes/**/*.ckpt"))
