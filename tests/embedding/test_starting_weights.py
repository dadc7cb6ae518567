"""Starting weights that are served as they are: measured on altered copies, and refused where they tell nobody apart."""

import numpy as np
import pytest

from face_assets.core.errors import RefusedError
from face_assets.core.params import Embedder
from face_assets.embedding.altered_copies import Separation, separation, with_copies
from face_assets.embedding.precision import not_measurable
from face_assets.embedding.starting_weights import LEAST_GAP, require_good

EMBEDDER = Embedder(weights="/some.pt", whitening="fixed")


def test_a_copy_is_another_picture_of_the_same_size_and_the_same_every_time() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (3, 80, 80, 3)).astype(np.uint8)
    pictures = with_copies(crops)
    assert pictures.shape == (6, 80, 80, 3) and pictures.dtype == np.uint8
    assert np.array_equal(pictures[:3], crops) and np.array_equal(pictures, with_copies(crops))
    assert all(np.abs(copy.astype(int) - crop).mean() > 10 for crop, copy in zip(pictures[:3], pictures[3:], strict=True))


def test_separation_is_that_of_mated_and_non_mated_scores() -> None:
    vectors = np.array([[1, 0], [0, 1], [0.8, 0.6], [0, 1]], np.float32)
    found = separation(vectors, np.array([0, 1, 0, 1]))
    assert (found.people, found.auc) == (2, 1.0)
    assert found.gap == pytest.approx((0.8 + 1) / 2 - (0 + 0 + 0.6 + 0.6) / 4)
    same = separation(np.ones((4, 1), np.float32), np.array([0, 1, 0, 1]))
    assert (same.auc, same.gap) == (0.5, 0.0)


@pytest.mark.parametrize(("auc", "gap"), [(0.89, 0.5), (1.0, LEAST_GAP - 0.01)])
def test_weights_are_refused_by_either_figure_and_the_sentence_says_what_to_do(auc: float, gap: float) -> None:
    found = Separation(8, auc, gap, 1.0)
    with pytest.raises(
        RefusedError, match=r"/some.pt tell nobody apart: on faces of 8 people .*Try embedder.whitening: per_image, .* or train"
    ):
        require_good(found, EMBEDDER, 0.9, "train with 372 people")
    require_good(found, EMBEDDER, 0.0, "")
    require_good(Separation(2, 0.9, LEAST_GAP, 1.0), EMBEDDER, 0.9, "")


def test_a_loss_that_nobody_shows_leaves_f32_in_service() -> None:
    trials = not_measurable("int8", "3 people are too few")
    assert [(trial.precision, trial.accepted) for trial in trials] == [("int8", False), ("bf16", False), ("f32", True)]
    assert trials[0].reason == "3 people are too few"
