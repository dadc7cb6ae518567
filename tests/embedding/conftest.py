"""Small embedders and drawn crops for the tests of the room."""

from pathlib import Path

import numpy as np
import pytest

from face_assets.storage.content_store import ContentStore, Entry


def draw_crops(people: int, photos: int, side: int, seed: int = 0) -> np.ndarray:
    """uint8 (people * photos, side, side, 3): each person a pattern of colours, each photo with noise and light of its own."""
    rng = np.random.default_rng(seed)
    patterns = rng.uniform(0, 255, (people, 1, 5, 5, 3)).repeat(photos, 1).reshape(-1, 5, 5, 3)
    large = patterns.repeat(-(-side // 5), 1).repeat(-(-side // 5), 2)[:, :side, :side]
    light = rng.uniform(0.7, 1.1, (len(large), 1, 1, 1))
    return np.clip(large * light + rng.normal(0, 12, large.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def crop_store(tmp_path: Path) -> ContentStore:
    """24 crops of 6 people, 80 pixels a side, under the keys 0 … 23."""
    store = ContentStore(tmp_path / "crops.sqlite")
    store.put(Entry(str(i), {"status": "face"}, crop.tobytes()) for i, crop in enumerate(draw_crops(6, 4, 80)))
    return store
