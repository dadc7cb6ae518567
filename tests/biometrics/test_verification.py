"""Evaluation, gate and gallery: against brute force on few pairs."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from face_assets.biometrics.plots import histogram_plot, roc_plot
from face_assets.biometrics.verification import Evaluation, evaluate, has_pairs
from face_assets.core import params
from face_assets.core.errors import UserError
from face_assets.evaluation.gate import judge
from face_assets.gallery import enrolment as gallery
from face_assets.gallery.enrolment import calibrate, identification_figures, stranger_scores, templates_of, write_gallery


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
    assert (point.tar, point.resolved, found.threshold_resolved) == (None, False, False)
    scores, same = every_pair(embeddings, identities)
    assert found.threshold > scores[~same].max() - 1e-5
    assert Evaluation.from_json(found.to_json()) == found


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
    assert Evaluation.from_json(found.to_json()) == found
    assert roc_plot({"trained": (found.roc, found.impostor)}).startswith(b"\x89PNG")
    assert histogram_plot(found.histogram, found.threshold).startswith(b"\x89PNG")


def test_the_floors_are_judged_from_enough_people_on_and_the_verdict_says_so() -> None:
    asked = params.Evaluation(far=0.01)
    chance = evaluate(*people(9, 2, 50.0), 0.01, 0)
    spared = judge(chance, None, asked, fewest=10)
    assert spared.passed and "9 of 9 people have two photos or more, and it takes 10" in spared.notes[0]
    refused = judge(chance, None, asked, fewest=9)
    assert [reason.split()[0] for reason in refused.reasons] == ["AUC", "accuracy"] and not refused.notes
    single = evaluate(*people(9, 1, 0.5), 0.01, 0)
    assert judge(single, (single, single), asked, fewest=0).passed


def test_an_embedder_that_gives_one_vector_for_everybody_accepts_nobody() -> None:
    embeddings = np.zeros((12, 16), np.float32)
    embeddings[:, 0] = 1
    found = evaluate(embeddings, np.arange(12) // 3, 0.1, 0)
    assert found.threshold > (embeddings @ embeddings.T).max()
    assert (found.auc, found.tar_at(0.1).tar) == (0.5, 0.0)


def test_a_training_that_diverged_is_said() -> None:
    embeddings, identities = people(10, 3, 0.5)
    embeddings[4, 2] = np.nan
    with pytest.raises(UserError, match=r"1 of 30 test photos.*learning_rate"):
        evaluate(embeddings, identities, 0.01, 0)


def test_the_gate_names_what_it_missed() -> None:
    good, bad = evaluate(*people(40, 4, 0.3), 0.01, 0), evaluate(*people(40, 4, 2.0), 0.01, 0)
    asked = params.Evaluation(far=0.01, min_auc=0.9, min_accuracy=0.8, min_tar=0.5, max_regression=0.01)
    assert judge(good, (good, bad), asked).passed
    refused = judge(bad, (bad, good), asked)
    assert not refused.passed
    for key in ("min_auc", "min_accuracy", "min_tar", "max_regression"):
        assert any(key in reason for reason in refused.reasons), key
    few = evaluate(*people(5, 2, 0.1), 1e-4, 0)
    unresolved = judge(few, None, params.Evaluation(far=1e-4, min_tar=0.5, min_auc=0.0, min_accuracy=0.0))
    assert any("cannot be told" in reason for reason in unresolved.reasons)
    lenient = params.Evaluation(far=1e-4, min_auc=0.0, min_accuracy=0.0)
    assert any("AUC" in note for note in judge(few, (few, few), lenient).notes)
    chance = evaluate(*people(5, 2, 5.0), 1e-4, 0)
    worse = judge(chance, (chance, few), lenient)
    assert [reason for reason in worse.reasons if "AUC" in reason and "cannot be told" in reason]


def test_the_floors_ask_all_photos_and_the_regression_those_of_production() -> None:
    good, bad = evaluate(*people(40, 4, 0.3), 0.01, 0), evaluate(*people(40, 4, 2.0), 0.01, 0)
    asked = params.Evaluation(far=0.01, min_auc=0.9, min_accuracy=0.0, max_regression=0.01)
    floors = judge(bad, (good, good), asked)
    assert [reason.split()[0] for reason in floors.reasons] == ["AUC"]
    assert all("max_regression" in reason for reason in judge(good, (bad, good), asked).reasons)


def test_pairs_need_two_people_and_two_photos_of_one() -> None:
    for labels, there in (([], False), ([1], False), ([1, 1], False), ([1, 2], False), ([1, 2, 2], True)):
        assert has_pairs(np.array(labels)) is there


def test_the_gallery_is_the_same_bytes_for_the_same_people(tmp_path: Path) -> None:
    embeddings, identities = people(6, 3, 0.3)
    names = [f"person {number}" for number in identities]
    for folder in ("one", "two"):
        write_gallery(templates_of(embeddings, names), tmp_path / folder)
    assert (tmp_path / "one" / "gallery.npz").read_bytes() == (tmp_path / "two" / "gallery.npz").read_bytes()


def test_strangers_find_somebody_no_more_often_than_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, identities = people(80, 4, 0.8)
    names = [str(number) for number in identities]
    enrolled = templates_of(embeddings[::2], names[::2])
    calibrated = calibrate(enrolled, embeddings, names, 0.05, fallback=0.5)
    own = np.array(names)[:, None] == np.array(enrolled.names)[None]
    best = np.where(own, -2, embeddings @ enrolled.templates.T).max(axis=1)
    assert np.allclose(stranger_scores(enrolled, embeddings, names), best)
    monkeypatch.setattr(gallery, "SCORES_AT_ONCE", 7 * len(enrolled.names))
    assert np.allclose(stranger_scores(enrolled, embeddings, names), best)
    assert (best >= calibrated.threshold - 2 * gallery.HAIR).mean() > 0.045
    assert (best >= calibrated.threshold).mean() <= 0.05
    assert calibrated.resolved


def test_too_few_strangers_are_said_and_nobody_to_find_falls_back() -> None:
    embeddings, identities = people(4, 2, 0.3)
    names = [str(number) for number in identities]
    few = calibrate(templates_of(embeddings, names), embeddings, names, 0.001, fallback=0.5)
    assert not few.resolved
    assert few.measured_fpir == 0.0
    alone = calibrate(templates_of(embeddings[:2], names[:2]), embeddings[:2], names[:2], 0.01, fallback=0.5)
    assert (alone.threshold, alone.strangers) == (0.5, 0)


def test_no_photo_finds_itself() -> None:
    embeddings, identities = people(10, 3, 0.1)
    names = [str(number) for number in identities]
    enrolled = templates_of(embeddings, names)
    figures = identification_figures(enrolled, embeddings, names, [True] * len(names), 0.5)
    assert figures["right"] == len(names)
    single = templates_of(embeddings[::3], names[::3])
    figures = identification_figures(single, embeddings[::3], names[::3], [True] * 10, 0.99)
    assert (figures["enrolled"], figures["strangers"], figures["strangers_accepted"]) == (0, 10, 0)
