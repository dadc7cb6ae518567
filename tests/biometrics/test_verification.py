"""Evaluation, gate and gallery: against brute force on few pairs."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from face_assets.biometrics import blocks, labelled
from face_assets.biometrics.labelled import Labelled
from face_assets.biometrics.plots import det_plot, histogram_plot, roc_plot
from face_assets.biometrics.verification import count_scores, evaluate, evaluate_labelled, has_pairs
from face_assets.core.errors import UserError
from face_assets.gallery.enrolment import identification_figures, stranger_scores, templates_of, write_gallery


def people(count: int, photos: int, spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    centres = random.normal(size=(count, 32))
    vectors = (centres[:, None] + spread * random.normal(size=(count, photos, 32))).reshape(-1, 32).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.repeat(np.arange(count), photos)


def every_pair(embeddings: np.ndarray, identities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pairs = list(itertools.combinations(range(len(identities)), 2))
    scores = np.array([embeddings[one] @ embeddings[other] for one, other in pairs])
    return scores, np.array([identities[one] == identities[other] for one, other in pairs])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("spread", [0.6, 1.5])
def test_the_figures_are_those_of_all_pairs(spread: float, seed: int) -> None:
    embeddings, identities = people(40, 4, spread, seed)
    found = evaluate(embeddings, identities, 0.003, 0)
    scores, same = every_pair(embeddings, identities)
    assert (found.genuine, found.impostor) == (same.sum(), (~same).sum())
    assert found.auc == pytest.approx(roc_auc_score(same, scores), abs=1e-5)
    assert found.eer == pytest.approx(equal_error_rate(scores, same), abs=0.01)
    resolved = [point for point in found.tar if point.threshold is not None]
    assert {point.far for point in resolved} == {1e-2, 1e-3, 3e-3, 1e-4}
    for point in resolved:
        assert point.threshold is not None
        accepted = int((scores[~same] >= point.threshold).sum())
        assert accepted == pytest.approx(point.false_accepts, abs=1)
        assert accepted <= point.far * found.impostor
        assert point.tar == pytest.approx((scores[same] >= point.threshold).mean(), abs=1 / found.genuine)
        lower = (scores[~same] >= point.threshold - 3e-6).sum()
        assert lower + 1 > int(point.far * found.impostor), "a lower threshold would do"


def equal_error_rate(scores: np.ndarray, same: np.ndarray) -> float:
    rates = [((scores[~same] >= one).mean(), (scores[same] < one).mean()) for one in np.linspace(-1, 1, 2001)]
    return float(min(np.mean(pair) for pair in rates if abs(pair[0] - pair[1]) == min(abs(a - b) for a, b in rates)))


def test_people_apart_are_perfect_and_noise_is_chance() -> None:
    assert evaluate(*people(30, 4, 0.05), 0.01, 0).accuracy > 0.99
    embeddings, identities = people(60, 4, 1000.0)
    found = evaluate(embeddings, identities, 0.01, 0)
    assert abs(found.auc - 0.5) < 0.06
    assert abs(found.accuracy - 0.5) < 0.1


def test_a_rate_that_the_pairs_cannot_tell_is_no_number() -> None:
    embeddings, identities = people(5, 2, 0.5)
    found = evaluate(embeddings, identities, 1e-4, 0)
    point = found.tar_at(1e-4)
    assert (point.tar, point.threshold, point.resolved) == (None, None, False)


def test_what_cannot_be_evaluated_is_said() -> None:
    embeddings, _ = people(4, 1, 0.5)
    with pytest.raises(UserError, match="1 people"):
        evaluate(embeddings, np.zeros(4, int), 0.01, 0)


@pytest.mark.parametrize("count", [2, 8])
def test_one_photo_of_each_person_shows_non_mated_scores_alone(count: int) -> None:
    found = evaluate(*people(count, 1, 0.5), 0.01, 0)
    assert (found.genuine, found.impostor, found.mated_people) == (0, count * (count - 1) // 2, 0)
    assert (found.auc, found.accuracy, found.eer) == (None, None, None)
    assert all(point.tar is None for point in found.tar)
    assert roc_plot({"trained": (found.roc, found.impostor)}).startswith(b"\x89PNG")
    assert det_plot({"trained": (found.roc, found.impostor)}).startswith(b"\x89PNG")
    assert histogram_plot(found.histogram, 0.5).startswith(b"\x89PNG")


def test_an_embedder_that_gives_one_vector_for_everybody_accepts_nobody() -> None:
    embeddings = np.zeros((12, 16), np.float32)
    embeddings[:, 0] = 1
    found = evaluate(embeddings, np.arange(12) // 3, 0.1, 0)
    point = found.tar_at(0.1)
    assert point.threshold is not None and point.threshold > (embeddings @ embeddings.T).max()
    assert (found.auc, point.tar) == (0.5, 0.0)


def test_a_training_that_diverged_is_said() -> None:
    embeddings, identities = people(10, 3, 0.5)
    embeddings[4, 2] = np.nan
    with pytest.raises(UserError, match=r"1 of 30 photos.*learning_rate"):
        evaluate(embeddings, identities, 0.01, 0)


def test_a_photo_without_a_face_counts_as_missed_at_every_threshold() -> None:
    embeddings, identities = people(30, 4, 0.05)
    found = evaluate_labelled(Labelled(identities, np.arange(1, 120), embeddings[1:]), 0.01, 0)
    assert (found.photos, found.failures, found.genuine, found.people) == (120, 1, 180, 30)
    assert found.tar_at(0.01).tar == pytest.approx(177 / 180)
    assert found.auc == pytest.approx(177 / 180, abs=1e-6)
    assert max(found.roc["tar"][:-1]) == pytest.approx(177 / 180)
    nobody = evaluate_labelled(Labelled(identities, np.array([0, 4]), embeddings[[0, 4]]), 0.01, 0)
    assert (nobody.auc, nobody.accuracy, nobody.failures) == (0.0, None, 118)


def test_pairs_need_two_people_and_two_photos_of_one() -> None:
    for labels, there in (([], False), ([1], False), ([1, 1], False), ([1, 2], False), ([1, 2, 2], True)):
        assert has_pairs(np.array(labels)) is there


def test_the_gallery_is_the_same_bytes_for_the_same_people(tmp_path: Path) -> None:
    embeddings, identities = people(6, 3, 0.3)
    names = [f"person {number}" for number in identities]
    for folder in ("one", "two"):
        write_gallery(templates_of(embeddings, names), tmp_path / folder)
    assert (tmp_path / "one" / "gallery.npz").read_bytes() == (tmp_path / "two" / "gallery.npz").read_bytes()


def test_strangers_are_searched_among_all_but_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, identities = people(80, 4, 0.8)
    names = [str(number) for number in identities]
    enrolled = templates_of(embeddings[::2], names[::2])
    own = np.array(names)[:, None] == np.array(enrolled.names)[None]
    best = np.where(own, -2, embeddings @ enrolled.templates.T).max(axis=1)
    assert np.allclose(stranger_scores(enrolled, embeddings, names), best)
    monkeypatch.setattr(blocks, "SCORES_AT_ONCE", 7 * len(enrolled.names))
    assert np.allclose(stranger_scores(enrolled, embeddings, names), best)


def test_no_photo_finds_itself() -> None:
    embeddings, identities = people(10, 3, 0.1)
    names = [str(number) for number in identities]
    enrolled = templates_of(embeddings, names)
    figures = identification_figures(enrolled, embeddings, names, [True] * len(names), np.full(len(names), 0.5))
    assert figures["right"] == len(names)
    single = templates_of(embeddings[::3], names[::3])
    figures = identification_figures(single, embeddings[::3], names[::3], [True] * 10, np.full(10, 0.99))
    assert (figures["enrolled"], figures["strangers"], figures["strangers_accepted"]) == (0, 10, 0)


def test_pairs_are_counted_once_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(60, 8)).astype(np.float32)
    vectors, people = vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.repeat(np.arange(20), 3)
    whole = count_scores(vectors, people)
    monkeypatch.setattr(labelled, "SCORES_AT_ONCE", 60 * 7)
    assert labelled.rows_at_once(60) == 7
    for kind, counted in zip(whole, count_scores(vectors, people), strict=True):
        assert counted.sum() == kind.sum()
        assert np.abs(np.cumsum(counted) - np.cumsum(kind)).max() <= 2  # rounding at the edge of a bin
