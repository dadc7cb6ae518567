"""Losses in many figures at once: chance alone seldom refuses anybody, and a loss in one of them is found."""

import numpy as np

from face_assets.biometrics.paired_bootstrap import Counts
from face_assets.biometrics.simultaneous import simultaneous_losses

PEOPLE, FIGURES = 50, 24


def pairs(seed: int, loss: float = 0.0) -> list[tuple[Counts, Counts]]:
    """Counts before and now, of the same people in FIGURES conditions; both are as good, but for `loss` in the first condition."""
    random = np.random.default_rng(seed)
    ease = random.beta(4, 1, PEOPLE)
    trials = random.integers(1, 6, PEOPLE).astype(float)
    found = []
    for number in range(FIGURES):
        rate = ease ** random.uniform(0.2, 4)
        hits = [random.binomial(trials.astype(int), rate).astype(float) for _ in range(2)]
        shared = random.random(PEOPLE) < 0.7  # most photos are easy, or hard, for both
        hits[1] = np.where(shared, hits[0], hits[1])
        if number == 0 and loss:
            hits[1] = random.binomial(hits[1].astype(int), 1 - loss).astype(float)
        found.append((Counts(hits[0], trials), Counts(hits[1], trials)))
    return found


def test_chance_in_any_of_many_figures_passes_the_low_end_as_seldom_as_the_confidence_says() -> None:
    refused = [any(one.low > 0 for one in simultaneous_losses(pairs(seed), 0.95, seed)) for seed in range(60)]
    assert np.mean(refused) <= 0.12  # of 60 draws at 0.05 more than 7 are seen once in 100 times; one by one it would be 0.5 and more


def test_a_loss_in_one_of_them_is_found() -> None:
    found = [simultaneous_losses(pairs(seed, loss=0.4), 0.95, seed) for seed in range(10)]
    assert sum(one[0].low > 0.01 for one in found) >= 9
    assert all(one.low <= one.value <= one.high for some in found for one in some)


def test_figures_that_nothing_tells_apart_have_no_interval_and_none_are_no_error() -> None:
    counts = Counts(np.ones(30), np.ones(30))
    (same,) = simultaneous_losses([(counts, counts)], 0.95, 0)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    assert simultaneous_losses([], 0.95, 0) == []
    alone = Counts(np.ones(1), np.ones(1))
    assert simultaneous_losses([(alone, Counts(np.zeros(1), np.ones(1)))], 0.95, 0)[0].value == 1.0
