"""Shares over people, and the difference of two recognizers' shares on the same people, with intervals by bootstrap over people.

People are drawn, and not photos or pairs, since those of one person are not independent (Bolle, Ratha and Pankanti 2004, "Error analysis of
pattern recognition systems: the subsets bootstrap"). A draw weighs each person's counts, so nothing is scored again.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

DRAWS = 2000
WEIGHTS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Counts:
    """Counts for each person: hits, (people,), not negative, of trials, (people,)."""

    hits: npt.NDArray[np.float64]
    trials: npt.NDArray[np.float64]

    @property
    def share(self) -> float:
        """Hits of all people over their trials; 0 without a trial."""
        return float(self.hits.sum() / max(self.trials.sum(), 1e-300)) if self.trials.any() else 0.0


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its interval at a confidence: each end is passed with a probability of 1 - confidence."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """JSON-able values."""
        return {name: round(value, 6) for name, value in asdict(self).items()}


def share_interval(counts: Counts, confidence: float, seed: int, draws: int = DRAWS) -> Interval:
    """The share with its interval."""
    return _interval(counts.share, np.concatenate([_shares(counts, weights) for weights in _weights(counts, seed, draws)]), confidence)


def difference_interval(first: Counts, second: Counts, confidence: float, seed: int, draws: int = DRAWS) -> Interval:
    """Share of `first` minus share of `second`, which are of the same people, with its interval: each draw weighs both alike."""
    drawn = [_shares(first, weights) - _shares(second, weights) for weights in _weights(first, seed, draws)]
    return _interval(first.share - second.share, np.concatenate(drawn), confidence)


def _interval(value: float, drawn: npt.NDArray[np.float64], confidence: float) -> Interval:
    low, high = np.quantile(drawn, (1 - confidence, confidence)) if len(drawn) else (value, value)
    return Interval(value, float(min(low, value)), float(max(high, value)))


def _weights(counts: Counts, seed: int, draws: int) -> Iterator[npt.NDArray[np.float64]]:
    """Yields weights (draws, people), in parts of bounded memory: how often each person was drawn."""
    random, people = np.random.default_rng(seed), len(counts.trials)
    step = max(1, min(draws, WEIGHTS_AT_ONCE // max(people, 1)))
    for start in range(0, draws if people else 0, step):
        yield random.multinomial(people, np.full(people, 1 / people), size=min(step, draws - start)).astype(np.float64)


def _shares(counts: Counts, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    trials = weights @ counts.trials
    return np.asarray(np.divide(weights @ counts.hits, trials, out=np.zeros(len(weights)), where=trials > 0))
