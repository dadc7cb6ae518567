"""Embeddings of stored crops: the network is loaded once for all steps of a run."""

from pathlib import Path

import pytest

from face_assets.core.params import SCRATCH, Detector
from face_assets.core.settings import remember
from face_assets.embedding import vectors, weights
from face_assets.embedding.vectors import Embedding, embed
from face_assets.registry.workspace import Workspace


def test_the_last_two_networks_stay_loaded(repository: Path, home: Path, networks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remember(repo=str(repository))
    workspace = Workspace.load()
    workspace.home.detector.parent.mkdir(exist_ok=True, parents=True)
    workspace.home.detector.symlink_to(networks)
    loaded = []
    load = weights.load_embedder

    def counted(name: str, size: int, seed: int) -> object:
        loaded.append(seed)
        return load(name, size, seed)

    monkeypatch.setattr(weights, "load_embedder", counted)
    monkeypatch.setattr(vectors, "_loaded", {})
    for seed in (1, 1, 2, 1, 3, 1, 2):
        how = Embedding(SCRATCH, "fixed", 16, Detector(), seed)
        assert embed(workspace, how, [], print).shape == (0, 16)
    assert loaded == [1, 2, 3, 2]
