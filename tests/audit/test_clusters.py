"""Groups of one person's photos: those of scikit-learn's agglomerative clustering, with its numbers."""

import numpy as np
import pytest
from sklearn.cluster import AgglomerativeClustering

from face_assets.audit.two_people import _clusters


@pytest.mark.parametrize("seed", range(20))
def test_as_scikit_learn_finds_them(seed: int) -> None:
    random = np.random.default_rng(seed)
    photos = int(random.integers(4, 40))
    vectors = random.normal(size=(photos, 8)) + np.repeat(random.normal(size=(2, 8)) * 2, [photos // 2, photos - photos // 2], axis=0)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    if seed % 3 == 0:
        vectors[1] = vectors[0]  # two equal photos
    for distance in (0.2, 0.6, 1.0):
        trees = AgglomerativeClustering(n_clusters=None, metric="precomputed", linkage="average", distance_threshold=distance)
        expected = trees.fit_predict(np.clip(1 - vectors @ vectors.T, 0, 2))
        assert _clusters(vectors, distance).tolist() == expected.tolist()
