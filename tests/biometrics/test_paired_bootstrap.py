"""Intervals over people: they cover the truth as often as they say, and a paired difference is known better than two shares."""

import numpy as np
import pytest

from face_assets.biometrics.paired_bootstrap import Counts, difference_interval, share_interval


def crowd(seed: int, people: int, loss: float = 0.0) -> tuple[Counts, Counts]:
    """Counts of two recognizers on the same people, who differ in how easily they are recognized; the second misses `loss` more."""
    random = np.random.default_rng(seed)
    trials = random.integers(1, 20, size=people).astype(float)
    ease = random.beta(4, 1, size=people)
    hits = random.binomial(trials.astype(int), ease).astype(float)
    return Counts(hits, trials), Counts(random.binomial(hits.astype(int), 1 - loss).astype(float), trials)


def test_an_end_of_the_interval_is_passed_as_seldom_as_its_confidence_says() -> None:
    passed = [share_interval(crowd(seed, 200)[0], 0.95, seed, draws=300) for seed in range(150)]
    truth = 0.8  # the mean of a beta(4, 1)
    assert np.mean([truth > one.high for one in passed]) == pytest.approx(0.05, abs=0.05)
    assert np.mean([truth < one.low for one in passed]) == pytest.approx(0.05, abs=0.05)


def test_a_loss_is_told_from_chance_by_pairing() -> None:
    first, second = crowd(1, 300, loss=0.02)
    paired = difference_interval(second, first, 0.95, 0)
    assert paired.high < 0 < -paired.value < 0.04
    alone = share_interval(first, 0.95, 0)
    assert alone.high - alone.low > 1.5 * (paired.high - paired.low)
    same = difference_interval(first, first, 0.95, 0)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)


def test_the_same_seed_draws_the_same_and_no_trial_is_no_error() -> None:
    first, second = crowd(2, 50, loss=0.1)
    assert difference_interval(first, second, 0.9, 3) == difference_interval(first, second, 0.9, 3)
    nobody = Counts(np.zeros(3), np.zeros(3))
    assert difference_interval(nobody, nobody, 0.95, 0).value == 0.0
