"""Shares over people, and the difference of two recognizers' shares on the same people, with intervals by bootstrap over people.

People are drawn, and not photos or pairs, since those of one person are not independent (Bolle, Ratha and Pankanti 2004, "Error analysis of
pattern recognition systems: the subsets bootstrap"). A draw weighs each person's counts, so nothing is scored again.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Weights = npt.NDArray[np.float64]
DRAWS = 2000
STEP = 5e-4
"""Steps in which drawn thresholds lie around the threshold."""
WEIGHTS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Counts:
    """Counts for each person: hits, (people,), not negative, of trials, (people,)."""

    hits: npt.NDArray[np.float64]
    trials: npt.NDArray[np.float64]

    @property
    def share(self) -> float:
        """Hits of all people over their trials; 0 without a trial."""
        return _share(self.hits, self.trials)

    def shares(self, weights: Weights, _: int) -> Weights:
        """The share of each draw, (draws,); weights: (draws, people)."""
        return _ratio(weights @ self.hits, weights @ self.trials)


@dataclass(frozen=True)
class Scored:
    """Scores of trials, of which those that reach a threshold are hits. The threshold is drawn, too, as the people who set it are.

    people: the person of each score, (n,); scores: (n,); trials: (people,), those without a score among them; thresholds: (DRAWS,).
    """

    people: npt.NDArray[np.int64]
    scores: npt.NDArray[Any]
    trials: npt.NDArray[np.float64]
    threshold: float
    thresholds: npt.NDArray[np.float64]

    @cached_property
    def hits(self) -> npt.NDArray[np.float64]:
        """Hits of each person at the threshold, (people,)."""
        return self._hits(self.threshold)

    @property
    def share(self) -> float:
        """Hits of all people over their trials; 0 without a trial."""
        return _share(self.hits, self.trials)

    def shares(self, weights: Weights, first: int) -> Weights:
        """The share of each draw, (draws,); weights: (draws, people), of the draws from `first` on."""
        drawn = self.thresholds[first : first + len(weights)]
        steps = np.round((drawn - self.threshold) / STEP).astype(int)
        numbers, places = np.unique(steps, return_inverse=True)
        hits = np.stack([self._hits(self.threshold + number * STEP) for number in numbers])
        return _ratio(np.einsum("ij,ij->i", weights, hits[places]), weights @ self.trials)

    def _hits(self, threshold: float) -> npt.NDArray[np.float64]:
        return np.bincount(self.people[self.scores >= threshold], minlength=len(self.trials)).astype(np.float64)


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its interval at a confidence: each end is passed with a probability of 1 - confidence."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """JSON-able values."""
        return {name: round(value, 6) for name, value in asdict(self).items()}


def share_interval(counts: Counts | Scored, confidence: float, seed: int, draws: int = DRAWS) -> Interval:
    """The share with its interval."""
    people = len(counts.trials)
    drawn = [counts.shares(weights, first) for first, weights in people_drawn(people, seed, draws)]
    return _interval(counts.share, np.concatenate(drawn or [np.zeros(0)]), confidence)


def difference_interval(one: Counts | Scored, other: Counts | Scored, confidence: float, seed: int, draws: int = DRAWS) -> Interval:
    """Share of `one` minus share of `other`, which are of the same people, with its interval: each draw weighs both alike."""
    people = len(one.trials)
    drawn = [one.shares(weights, first) - other.shares(weights, first) for first, weights in people_drawn(people, seed, draws)]
    return _interval(one.share - other.share, np.concatenate(drawn or [np.zeros(0)]), confidence)


def _interval(value: float, drawn: npt.NDArray[np.float64], confidence: float) -> Interval:
    low, high = np.quantile(drawn, (1 - confidence, confidence)) if len(drawn) else (value, value)
    return Interval(value, float(min(low, value)), float(max(high, value)))


def people_drawn(people: int, seed: int, draws: int = DRAWS) -> Iterator[tuple[int, Weights]]:
    """Yields the number of a first draw and weights (draws, people) from it on, in parts of bounded memory: how often each was drawn."""
    random = np.random.default_rng(seed)
    step = max(1, min(draws, WEIGHTS_AT_ONCE // max(people, 1)))
    for start in range(0, draws if people else 0, step):
        drawn = random.multinomial(people, np.full(people, 1 / people), size=min(step, draws - start))
        yield start, drawn.astype(np.float64)


def _share(hits: npt.NDArray[np.float64], trials: npt.NDArray[np.float64]) -> float:
    return float(hits.sum() / trials.sum()) if trials.any() else 0.0


def _ratio(hits: Weights, trials: Weights) -> Weights:
    return np.asarray(np.divide(hits, trials, out=np.zeros(len(hits)), where=trials > 0))
