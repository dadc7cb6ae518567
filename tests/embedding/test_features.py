"""Trunk features: the same as torch's, of one crop alone to the bit, computed once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from face_assets.core.errors import UserError
from face_assets.embedding.features import compute_features, faces_stored, load_crops, load_features, trunk_fingerprint
from face_assets.embedding.network import ServedEmbedder, TrunkFeatures, normalize_input
from face_assets.embedding.weights import load_embedder
from face_assets.storage.content_store import ContentStore
from face_assets.storage.home import StoreFolder

KEYS = [str(i) for i in range(24)]


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    return load_embedder("scratch", 16, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("whitening", ["fixed", "per_image"])
def test_features_are_those_of_torch(tmp_path: Path, crop_store: ContentStore, model: torch.nn.Module, whitening: Any) -> None:
    store = ContentStore(tmp_path / "features.sqlite")
    steps: list[tuple[int, int]] = []
    assert compute_features(model, whitening, crop_store, KEYS, store, 1, lambda *step: steps.append(step)) == 24
    assert steps == [(24, 24)]
    with torch.inference_mode():
        expected = TrunkFeatures(model, whitening).eval()(torch.from_numpy(load_crops(crop_store, KEYS[::-1]))).numpy()
    np.testing.assert_allclose(load_features(store, KEYS[::-1]), expected, atol=1e-5)


@pytest.mark.slow
def test_a_feature_depends_on_its_crop_alone(tmp_path: Path, crop_store: ContentStore, model: torch.nn.Module) -> None:
    together, apart = ContentStore(tmp_path / "a.sqlite"), ContentStore(tmp_path / "b.sqlite")
    compute_features(model, "fixed", crop_store, KEYS, together, threads=2)
    for part in (KEYS[5:6], KEYS[:11], KEYS):
        compute_features(model, "fixed", crop_store, part, apart, threads=1)
    assert np.array_equal(load_features(together, KEYS), load_features(apart, KEYS))
    assert compute_features(model, "fixed", crop_store, [*KEYS, KEYS[0]], apart, threads=1) == 0


def test_stored_crops_embed_as_served(tmp_path: Path, crop_store: ContentStore, model: torch.nn.Module) -> None:
    said: list[str] = []
    keys = ["7", "3", "7"]
    vectors = faces_stored(model, None, "per_image", 80, crop_store, keys, StoreFolder(tmp_path / "features"), 1, said.append)[0]
    with torch.inference_mode():
        expected = ServedEmbedder(model, "per_image").eval()(torch.from_numpy(load_crops(crop_store, keys))).numpy()
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    assert len(said) == 1
    assert faces_stored(model, None, "per_image", 80, crop_store, [], StoreFolder(tmp_path / "features"), 1, said.append)[0].shape == (
        0,
        16,
    )


def test_a_missing_crop_is_named_before_anything_is_computed(tmp_path: Path, crop_store: ContentStore, model: torch.nn.Module) -> None:
    with pytest.raises(UserError, match="lacks 1 of 2 crops"):
        compute_features(model, "fixed", crop_store, ["0", "absent"], ContentStore(tmp_path / "f.sqlite"), 1)


def test_the_trunk_fingerprint_follows_trunk_normalization_and_size_but_not_the_head(model: torch.nn.Module) -> None:
    name = trunk_fingerprint(model, "fixed", 160)
    assert len({name, trunk_fingerprint(model, "per_image", 160), trunk_fingerprint(model, "fixed", 96)}) == 3
    other = load_embedder("scratch", 16, seed=0)
    with torch.no_grad():
        other.last_linear.weight.add_(1)
    assert trunk_fingerprint(other, "fixed", 160) == name
    with torch.no_grad():
        other.conv2d_1a.bn.bias.add_(1)
    assert trunk_fingerprint(other, "fixed", 160) != name


def test_per_image_normalization_is_facenets() -> None:
    crops = torch.randint(0, 256, (2, 80, 80, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    crops[1] = 9  # a crop of one colour: std is held above 1 / sqrt(count)
    pixels = crops.double().numpy()
    deviation = np.maximum(pixels.std((1, 2, 3), keepdims=True), 1 / np.sqrt(pixels[0].size))
    expected = (pixels - pixels.mean((1, 2, 3), keepdims=True)) / deviation
    np.testing.assert_allclose(normalize_input(crops, "per_image").numpy().transpose(0, 2, 3, 1), expected, atol=1e-5)
    assert normalize_input(crops, "fixed").min() >= -1 and normalize_input(crops, "fixed").max() <= 1
