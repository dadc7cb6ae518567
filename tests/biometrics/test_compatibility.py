"""Compatibility: new embeddings compare with old templates where the figures across are those of the old ones, and not unmeasured."""

import numpy as np
import pytest

from face_assets.biometrics.compatibility import compare_embeddings, count_cross_scores
from face_assets.biometrics.verification import bin_of

FAR, LOSS = 0.01, 0.02
SIZE = 32


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


@pytest.fixture(scope="module")
def old() -> np.ndarray:
    """Embeddings of 60 people, 5 photos each."""
    random = np.random.default_rng(0)
    return unit(random.standard_normal((60, SIZE)).repeat(5, 0) + 0.6 * random.standard_normal((300, SIZE)))


PEOPLE = np.repeat(np.arange(60), 5)


def rotated(vectors: np.ndarray) -> np.ndarray:
    turn, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((SIZE, SIZE)))
    return unit(vectors @ turn)


def test_a_little_change_is_compatible_and_its_figures_are_the_old_ones(old: np.ndarray) -> None:
    found = compare_embeddings(old, unit(old + 0.01 * np.random.default_rng(1).standard_normal(old.shape)), PEOPLE, FAR, LOSS)
    assert found.is_compatible
    assert found.tar is not None and found.old_tar is not None and abs(found.tar - found.old_tar) < 0.01


def test_embeddings_as_good_but_in_other_directions_are_not_compatible(old: np.ndarray) -> None:
    found = compare_embeddings(old, rotated(old), PEOPLE, FAR, LOSS)
    assert not found.is_compatible and (found.tar or 0) < 0.1 < 0.5 < (found.old_tar or 0)


def test_scores_that_rise_as_a_whole_break_the_threshold_that_applications_have(old: np.ndarray) -> None:
    """People stay apart, as by TAR at a threshold chosen anew, but at the old one strangers are accepted."""
    closer = unit(old + 0.35 * old.mean(axis=0) / np.linalg.norm(old.mean(axis=0)))
    before, after = (
        unit(old + 0.35 * old.mean(axis=0) / np.linalg.norm(old.mean(axis=0))),
        unit(closer + 1.2 * old.mean(axis=0) / np.linalg.norm(old.mean(axis=0))),
    )
    found = compare_embeddings(before, after, PEOPLE, FAR, 0.2)
    assert not found.is_compatible and (found.far_at_old_threshold or 0) > 2 * FAR


@pytest.mark.parametrize(
    ("rows", "far", "sentence"),
    [
        (slice(0, 10), FAR, "cannot show FAR"),
        (slice(0, 300, 5), FAR, "0 mated"),
        (slice(0, 0), FAR, "0 mated"),
        (slice(0, 300), 1e-6, "cannot show FAR 1e-06"),
    ],
)
def test_what_cannot_be_measured_is_not_compatible(old: np.ndarray, rows: slice, far: float, sentence: str) -> None:
    found = compare_embeddings(old[rows], old[rows], PEOPLE[rows], far, 1.0)
    assert not found.is_compatible and sentence in found.reason and "cannot be measured" in found.reason
    assert found.tar is None


def test_another_length_never_compares(old: np.ndarray) -> None:
    assert "16 numbers in place of 32" in compare_embeddings(old, unit(old[:, :16]), PEOPLE, FAR, 1.0).reason


def test_each_old_template_meets_the_new_probes_of_all_other_photos_once(old: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    from face_assets.biometrics import labelled

    monkeypatch.setattr(labelled, "ROWS_AT_ONCE", 7)
    new = rotated(old)
    genuine, impostor = count_cross_scores(old[:40], new[:40], PEOPLE[:40])
    scores, apart = old[:40] @ new[:40].T, ~np.eye(40, dtype=bool)
    same = PEOPLE[:40, None] == PEOPLE[None, :40]
    for counts, pairs in ((genuine, same & apart), (impostor, ~same)):
        assert counts.sum() == pairs.sum()
        assert abs(np.flatnonzero(counts).min() - bin_of(scores[pairs]).min()) <= 1
