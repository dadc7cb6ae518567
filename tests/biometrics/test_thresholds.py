"""Thresholds for few people: they hold for others, tighten as people come, and are reported by people who did not choose them."""

from dataclasses import replace

import numpy as np
import pytest

from face_assets.biometrics.cross_fit import Rate, rate_of, stranger_rate, verification_rates
from face_assets.biometrics.impostor_scores import DEVIATION_UNKNOWN, ImpostorScores, impostor_scores, measure_impostor_scores
from face_assets.biometrics.score_blocks import GROUPS, groups_of, score_blocks
from face_assets.biometrics.stranger_rates import StrangerRates, stranger_rates
from face_assets.biometrics.thresholds import (
    Threshold,
    identification_threshold,
    people_needed,
    shortfall,
    verification_threshold,
)
from face_assets.gallery.enrolment import calibrate, stranger_scores, templates_of

FAR, FPIR, CONFIDENCE = 1e-3, 0.01, 0.95
VALUES = 40


def population(people: int, seed: int, likeness: float = 0.0, photos: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Unit embeddings (people * photos, VALUES) and identities; likeness: length of a direction that all people share."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(people, VALUES)) + likeness * np.sqrt(VALUES) * np.eye(VALUES)[0]
    vectors = centres[:, None] + 0.5 * random.normal(size=(people, photos, VALUES))
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    return vectors.reshape(-1, VALUES).astype(np.float32), np.repeat(np.arange(people), photos)


@pytest.fixture(scope="module")
def known() -> ImpostorScores:
    return measure_impostor_scores(*population(400, seed=1), "synthetic")


def false_matches(embeddings: np.ndarray, identities: np.ndarray, threshold: float) -> float:
    other = identities[:, None] != identities[None]
    return float(((embeddings @ embeddings.T)[other] >= threshold).mean())


@pytest.mark.parametrize("likeness", [0.0, 0.5])
def test_the_requested_rates_hold_for_all_other_people(known: ImpostorScores, likeness: float) -> None:
    """A team whose people are more alike than those of the table (likeness 0.5: cosines higher by 0.2) is safe as soon as it has some."""
    embeddings, identities = population(300, seed=2, likeness=likeness)
    for size in (2, 8, 40) if not likeness else (20, 40):
        kept = {"fmr": 0, "fpir": 0}
        for draw in range(20):
            chosen = np.isin(identities, np.random.default_rng([size, draw]).choice(300, size, replace=False))
            names = [str(one) for one in identities[chosen]]
            threshold = verification_threshold(score_blocks(embeddings[chosen], identities[chosen]), FAR, CONFIDENCE, known)
            kept["fmr"] += false_matches(embeddings[~chosen], identities[~chosen], threshold.value) <= FAR
            enrolled = templates_of(embeddings[chosen], names)
            best = stranger_scores(enrolled, embeddings[chosen], names)
            among = identification_threshold(best, np.array(names), size, size - 1, FPIR, CONFIDENCE, known).value
            kept["fpir"] += ((embeddings[~chosen] @ enrolled.templates.T).max(axis=1) >= among).mean() <= FPIR
        assert min(kept.values()) > 18, (size, kept)


def test_the_margin_shrinks_as_people_come(known: ImpostorScores) -> None:
    found = [verification_threshold(score_blocks(*population(size, seed=3)), FAR, CONFIDENCE, known) for size in (2, 20, 400)]
    margins = [one.value - one.estimate for one in found]
    assert margins[0] > margins[1] > margins[2] > 0
    assert found[0].own_weight == 0 < found[1].own_weight < found[2].own_weight
    assert found[0].basis.startswith("known scores of the weights")
    more_sure = verification_threshold(score_blocks(*population(20, seed=3)), FAR, 0.99, known)
    assert more_sure.value > found[1].value


def test_unknown_weights_start_from_a_wider_bound() -> None:
    unknown = impostor_scores("a digest fixed")
    table = impostor_scores("d1b118b971102b01 per_image")
    nobody = score_blocks(*population(2, seed=4))
    assert unknown.deviation == DEVIATION_UNKNOWN > table.deviation
    assert verification_threshold(nobody, FAR, CONFIDENCE, unknown).value > verification_threshold(nobody, FAR, CONFIDENCE, table).value
    assert "unknown weights" in unknown.name
    scores = [table.photo_score(rate) for rate in (0.5, 1e-2, 1e-4, 1e-6, 1e-8)]
    assert scores == sorted(scores)


def test_rates_are_of_people_who_did_not_choose_the_threshold(known: ImpostorScores) -> None:
    """Two lookalikes among 60: the threshold of the others, which do not know them, is exceeded and reported as such."""
    embeddings, identities = population(60, seed=5)
    embeddings[identities == 1] = embeddings[identities == 0]
    rates = verification_rates(score_blocks(embeddings, identities), FAR, CONFIDENCE, known)
    assert rates.fmr is not None
    assert rates.tar is not None
    assert rates.fmr.value >= 4 / rates.fmr.comparisons
    assert rates.fmr.low < rates.fmr.value < rates.fmr.high
    assert rates.fmr.effective < rates.fmr.comparisons, "pairs of one person depend on each other"
    names = [str(one) for one in identities]
    found = calibrate(templates_of(embeddings, names), embeddings, names, FPIR, CONFIDENCE, known)
    assert found.fpir is not None
    assert (found.fpir.value * 60, found.fpir.comparisons) == (2, 60)
    assert len(set(found.held_out)) > 1


def test_groups_are_of_people_and_hardly_move_when_people_come() -> None:
    names = [f"person {number}" for number in range(500)]
    before, after = groups_of(names), groups_of([*names, "newcomer"])
    assert np.bincount(before).tolist() == [50] * GROUPS
    assert (before != after[:-1]).sum() <= GROUPS
    embeddings, identities = population(50, seed=6)
    order = np.random.default_rng(0).permutation(len(identities))
    one, other = score_blocks(embeddings, identities), score_blocks(embeddings[order], identities[order])
    assert np.abs(one.photos - other.photos).sum() <= 4  # rounding at the edge of a bin
    assert one.photos.sum() == 50 * 49 / 2 * 4
    assert one.people.sum() == pytest.approx(50 * 49 / 2)
    assert one.mated.sum() == 50


def test_intervals_are_those_of_independent_comparisons_where_they_are() -> None:
    plain = rate_of(3, 1000, 0.003 * 0.997 / 1000, 1000, 0.95)
    assert plain.low == pytest.approx(0.000619, abs=1e-6)  # of 3 in 1,000 by Clopper and Pearson 1934
    assert plain.high == pytest.approx(0.008742, abs=1e-6)
    clustered = rate_of(3, 1000, 0.003 * 0.997 / 100, 1000, 0.95)
    assert clustered.high > plain.high
    none = rate_of(0, 1000, 0.0, 50, 0.95)
    assert none == Rate(0.0, 0.0, none.high, 1000, 50)
    assert none.high == pytest.approx(0.0711, abs=1e-4)
    assert stranger_rate(np.empty(0, bool), np.empty(0), 0.95) is None


def test_a_threshold_that_serves_nobody_names_the_people_that_are_needed(known: ImpostorScores) -> None:
    wide = replace(known, deviation=0.4)
    few = verification_threshold(score_blocks(*population(3, seed=7)), FAR, CONFIDENCE, wide)
    needed = people_needed(0.7, FAR, CONFIDENCE, wide)
    assert needed is not None
    assert 3 < needed < 100
    assert f"about {needed} people are needed" in (shortfall(few, 0.1, 0.7, wide) or "")
    assert shortfall(few, 0.9, 0.7, wide) is None
    assert "better weights" in (shortfall(few, 0.1, 0.05, wide) or "")
    assert Threshold.from_json(few.to_json()) == few


def test_nobody_is_accepted_by_an_embedder_with_one_vector_and_one_person_chooses_nothing(known: ImpostorScores) -> None:
    same = np.zeros((12, VALUES), np.float32)
    same[:, 0] = 1
    assert verification_threshold(score_blocks(same, np.arange(12) // 2), FAR, CONFIDENCE, known).value > 1
    embeddings, _ = population(1, seed=8)
    alone = verification_rates(score_blocks(embeddings, np.zeros(2, int)), FAR, CONFIDENCE, known)
    assert alone.fmr is None
    assert alone.tar is not None
    names = ["only", "only"]
    found = calibrate(templates_of(embeddings, names), embeddings, names, FPIR, CONFIDENCE, known)
    assert (found.fpir, found.strangers, found.threshold.own_weight) == (None, 0, 0)


def test_other_scores_of_the_same_weights_have_another_digest(known: ImpostorScores) -> None:
    """The digest is in the names of evaluation and gallery, so that both are made again after a change of known_weights.json."""
    assert replace(known, photo_scores=tuple(one + 0.01 for one in known.photo_scores)).digest != known.digest
    assert replace(known).digest == known.digest != impostor_scores("a digest fixed").digest


def test_the_rate_of_strangers_is_right_at_every_score_for_people_apart(known: ImpostorScores) -> None:
    embeddings, identities = population(500, seed=9)
    names = np.array([f"p{one}" for one in identities])
    enrolled = templates_of(embeddings[identities < 60], names[identities < 60].tolist())
    probes = identities < 200
    calibration = calibrate(enrolled, embeddings[probes], names[probes].tolist(), FPIR, CONFIDENCE, known)
    best = stranger_scores(enrolled, embeddings[identities >= 200], names[identities >= 200].tolist())
    scores = np.quantile(best, (0.1, 0.5, 0.8, 0.95, 0.99))
    rates = np.array([calibration.rates.at(float(score)) for score in scores])
    assert (np.diff(rates) < 0).all()
    assert rates[1:] == pytest.approx([0.5, 0.2, 0.05, 0.01], rel=0.6)
    assert calibration.rates.at(calibration.threshold.value) < FPIR
    assert (calibration.rates.at(-1.0), calibration.rates.at(1.0)) == pytest.approx((1.0, calibration.rates.rates[-1]))
    assert StrangerRates.from_json(calibration.rates.to_json()) == calibration.rates


def test_without_strangers_the_rates_are_those_of_the_weights(known: ImpostorScores) -> None:
    nobody = stranger_rates(np.empty(0), np.empty(0), 100, 100, known)
    more = stranger_rates(np.empty(0), np.empty(0), 10_000, 10_000, known)
    assert more.at(0.6) > nobody.at(0.6)
    assert list(nobody.scores) == sorted(set(nobody.scores))
