"""Embeddings of stored crops: the network is loaded once for all steps of a run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from face_assets.core.params import SCRATCH, Detector
from face_assets.core.settings import remember
from face_assets.detection.detectors import crop_store
from face_assets.embedding import features, vectors, weights
from face_assets.embedding.vectors import Embedding, embed
from face_assets.registry.workspace import Workspace
from face_assets.storage.content_store import Entry


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


def test_stored_embeddings_need_neither_network_nor_features(
    repository: Path, home: Path, networks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(repo=str(repository))
    workspace = Workspace.load()
    workspace.home.detector.parent.mkdir(exist_ok=True, parents=True)
    workspace.home.detector.symlink_to(networks)
    side, asked = Detector().image_size, list[str]()
    crops = np.random.default_rng(0).integers(0, 255, (3, side, side, 3), np.uint8)
    crop_store(workspace, Detector()).put(Entry(key, {}, crop.tobytes()) for key, crop in zip("abc", crops, strict=True))
    how = Embedding(SCRATCH, "fixed", 16, Detector(), 7)
    compute = features.faces_stored

    def counted(*arguments: Any) -> Any:
        asked.extend(arguments[5])
        return compute(*arguments)

    monkeypatch.setattr(features, "faces_stored", counted)
    first = embed(workspace, how, ["b", "a", "b"], print)
    assert (first[0] == first[2]).all()
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1.0, rtol=1e-5)
    second = embed(workspace, how, ["a", "c"], print)
    assert (second[0] == first[1]).all()
    embed(workspace, how, ["c", "b", "a"], print)
    assert asked == ["b", "a", "c"]
    embed(workspace, Embedding(SCRATCH, "fixed", 16, Detector(), 8), ["a"], print)
    assert asked == ["b", "a", "c", "a"], "another network has embeddings of its own"
