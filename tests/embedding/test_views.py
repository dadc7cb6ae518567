"""Degraded views: a function of the crop, stored by content, and learned from."""

from pathlib import Path

import numpy as np
import pytest
import torch

from face_assets.core import params
from face_assets.embedding import degradation, features, views
from face_assets.embedding.degradation import degraded, view_names
from face_assets.embedding.learning_curve import degraded_verification
from face_assets.embedding.lightning_module import ViewBatches
from face_assets.embedding.training import train
from face_assets.embedding.weights import load_embedder
from face_assets.storage.content_store import ContentStore
from tests.embedding.conftest import draw_crops
from tests.embedding.test_training import silent, weights  # noqa: F401  (a fixture)
from tests.embedding.training_requests import request


@pytest.mark.parametrize("side", [80, 160, 333])
def test_a_view_depends_on_its_crop_and_its_name_alone(side: int) -> None:
    crop = draw_crops(1, 1, side)[0]
    names = view_names({"covered": 6, "camera": 6, "turned": 2})
    assert names[0] == "camera 0" and names == view_names({"turned": 2, "camera": 6, "covered": 6}), "not on the order of the mapping"
    seen = [degraded(crop, "key", name, True) for name in names]
    assert all(view.shape == crop.shape and view.dtype == np.uint8 for view in seen)
    assert len({view.tobytes() for view in (crop, *seen)}) == len(seen) + 1
    for name, view in zip(reversed(names), reversed(seen), strict=True):
        assert np.array_equal(view, degraded(crop, "key", name, True)), "neither on the order in which views are made"
    assert not np.array_equal(seen[0], degraded(crop, "other", names[0], True))


@pytest.mark.parametrize("level", [0, 255])
def test_a_uniform_crop_has_views(level: int) -> None:
    crop = np.full((80, 80, 3), level, np.uint8)
    for number in range(40):
        for kind in degradation.KINDS:
            assert degraded(crop, str(number), f"{kind} 0", False).shape == crop.shape


def test_without_flip_no_view_is_mirrored() -> None:
    crop = np.zeros((80, 80, 3), np.uint8)
    crop[:, :40] = 255
    seen = [degraded(crop, str(number), "camera 0", False) for number in range(30)]
    assert all(view[:, :40].mean() > view[:, 40:].mean() for view in seen)


def test_an_epoch_has_each_photo_clean_and_degraded() -> None:
    settings = params.Train(batch_size=8)
    sampler = ViewBatches(np.arange(16) // 4, settings, True, clean=2, degraded=3)
    epochs = []
    for epoch in (0, 1, 0):
        sampler.set_epoch(epoch)
        epochs.append(list(sampler))
    assert epochs[0] == epochs[2] != epochs[1] and [len(batch) for batch in epochs[0]] == [8] * 4
    for batches in epochs:
        photos, kinds = np.divmod([row for batch in batches for row in batch], 5)
        assert sorted(photos[kinds < 2]) == sorted(photos[kinds >= 2]) == list(range(16))


def test_figures_of_degraded_views_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(0)
    clean, worse = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in rng.normal(size=(2, 40, 8)))
    labels = np.arange(40) // 4
    pairs = [(i, j) for i in range(40) for j in range(40) if i != j]
    genuine = np.array([clean[i] @ worse[j] for i, j in pairs if labels[i] == labels[j]])
    impostor = np.array([clean[i] @ worse[j] for i, j in pairs if labels[i] != labels[j]])
    threshold = np.sort(impostor)[-1 - int(1e-3 * len(impostor))]
    found = degraded_verification(clean, worse, labels)
    assert found["validation_tar_clean_degraded"] == pytest.approx((genuine > threshold).mean())
    assert degraded_verification(clean, worse, np.arange(40)) == {}


def test_views_are_computed_once_and_train_alike_from_activations_and_from_crops(
    tmp_path: Path,
    crop_store: ContentStore,
    weights: str,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    computed: list[int] = []
    compute = features.compute_rows
    monkeypatch.setattr(views, "compute_rows", lambda *given: computed.append(len(given[2])) or compute(*given))

    def curve(name: str, said: list[str]) -> list[dict[str, float]]:
        asked = request(tmp_path, crop_store, weights, unfreeze="block8", epochs=2, degrade={"camera": 2, "covered": 1})
        return train(asked, tmp_path / name, tmp_path / f"{name}-out", 1, said.append).curve

    said: list[str] = []
    stored = curve("stored", said)
    assert computed == [16 * 5 + 8 * 2], "clean, mirrored and three degraded views to learn from; a clean and a degraded one to watch"
    assert {"validation_tar", "validation_tar_clean_degraded", "validation_tar_degraded"} < stored[0].keys()
    assert curve("again", said) == stored and computed[1] == 0, "by content: not once more"
    assert (tmp_path / "stored-out" / "embedder.pt").read_bytes() == (tmp_path / "again-out" / "embedder.pt").read_bytes()
    (store,) = (tmp_path / "features").glob("*-views-*.sqlite")
    store.unlink()
    monkeypatch.setattr(views, "MOST_OF_DISK", 0.0)
    from_crops = curve("crops", said)
    assert any("the frozen blocks run in each epoch" in line for line in said)
    assert [row["loss"] for row in from_crops[1:]] == pytest.approx([row["loss"] for row in stored[1:]], rel=5e-3)


@pytest.mark.parametrize("start", ["weights", "scratch"])
def test_the_head_and_the_whole_network_learn_from_views(tmp_path: Path, crop_store: ContentStore, weights: str, start: str) -> None:  # noqa: F811
    how = {"unfreeze": "head"} if start == "weights" else {"unfreeze": "all", "photos_per_person": 2}
    asked = request(tmp_path, crop_store, weights if start == "weights" else start, epochs=1, degrade={"turned": 1}, **how)
    result = train(asked, tmp_path / "work", tmp_path / "out", 1, silent)
    assert np.isfinite(result.curve[-1]["loss"]) and "validation_tar_degraded" in result.curve[-1]
    after = load_embedder(tmp_path / "out" / "embedder.pt", 32, 0).state_dict()
    assert all(bool(torch.isfinite(value).all()) for value in after.values())


def test_without_degrade_a_training_keeps_its_name() -> None:
    assert params.Train(degrade={}).fingerprint() == params.Train().fingerprint() != params.Train(degrade={"camera": 1}).fingerprint()
    with pytest.raises(ValueError, match="camera"):
        params.Train.model_validate({"degrade": {"foggy": 2}})
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        params.Train.model_validate({"degrade": {"camera": 0}})
