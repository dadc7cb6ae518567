"""Rates at a threshold, measured on people who did not choose it: every comparison is judged by the threshold of all but its people."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from face_assets.biometrics.impostor_scores import ImpostorScores
from face_assets.biometrics.rate_interval import rate_interval
from face_assets.biometrics.score_blocks import BINS, SCORES, ScoreBlocks
from face_assets.biometrics.score_tail import jackknife_variance
from face_assets.biometrics.thresholds import verification_threshold

FOLDS = 10


@dataclass(frozen=True)
class Rate:
    """A measured rate with its interval. comparisons: those counted; effective: independent ones that would be as exact."""

    value: float
    low: float
    high: float
    comparisons: int
    effective: float

    def to_json(self) -> dict[str, Any]:
        """JSON-able values."""
        return asdict(self)

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> "Rate":
        """The rate that `to_json` wrote."""
        return Rate(**values)


@dataclass(frozen=True)
class VerificationRates:
    """FMR and TAR at thresholds that others chose. None without such comparisons. median: of the mated scores."""

    fmr: Rate | None
    tar: Rate | None
    median: float | None


def rate_of(hits: float, comparisons: int, variance: float, most: float, confidence: float) -> Rate:
    """The rate hits / comparisons with its Clopper-Pearson interval for the effective number of comparisons.

    variance: of the rate over people; most: effective comparisons at most, which hold where nothing was hit. Korn and Graubard 1998, Survey
    Methodology 24(2): the interval of as many independent comparisons as give this variance.
    """
    value = hits / comparisons
    effective = min(most, comparisons, value * (1 - value) / variance) if variance > 0 else min(most, comparisons)
    effective = max(effective, 1.0)
    low, high = rate_interval(value, effective, confidence)
    return Rate(value, low, high, comparisons, round(effective, 1))


def verification_rates(blocks: ScoreBlocks, far: float, confidence: float, known: ImpostorScores) -> VerificationRates:
    """FMR and TAR by cross-fitting: a comparison of people of two folds is judged by the threshold of the people of all other folds.

    The thresholds are those of fewer people than the served one, and so a little higher.
    """
    groups, people = len(blocks.sizes), int(blocks.sizes.sum())
    folds = np.arange(groups) * min(FOLDS, groups) // max(1, groups)
    hits, matched = np.zeros((groups, groups)), np.zeros(groups)
    for first in range(folds.max(initial=-1) + 1):
        for second in range(first, folds.max() + 1):
            outside = blocks.without(np.flatnonzero((folds == first) | (folds == second)).tolist())
            threshold = verification_threshold(outside, far, confidence, known).value
            place = int(np.searchsorted(SCORES, threshold))
            pair = np.ix_(folds == first, folds == second)
            hits[pair] = blocks.photos[pair][..., place:].sum(axis=-1)
            if first == second:
                matched[folds == first] = blocks.mated[folds == first, min(place + 1, BINS) :].sum(axis=-1)
    counts, mated = blocks.photos.sum(axis=-1), blocks.mated.sum(axis=-1)
    pairs = people * (people - 1) / 2
    chance = 4 * known.relative_variance(far) / max(1, people) + 1 / max(far * pairs, 1e-9)
    fmr = _rate(hits, counts, 1 / (far * chance), confidence) if counts.sum() else None
    tar = _rate(np.diag(matched), np.diag(mated), float(people), confidence) if mated.sum() else None
    total = blocks.mated.sum(axis=0)
    median = float(SCORES[np.searchsorted(np.cumsum(total), total.sum() / 2)]) if mated.sum() else None
    return VerificationRates(fmr, tar, median)


def stranger_rate(hits: npt.NDArray[Any], strangers: npt.NDArray[Any], confidence: float) -> Rate | None:
    """FPIR with each stranger counting once. hits: bool (n,), photos that find somebody; strangers: (n,) identities."""
    if not len(hits):
        return None
    _, places, counts = np.unique(strangers, return_inverse=True, return_counts=True)
    shares = np.bincount(places, hits) / counts
    people = len(counts)
    return rate_of(float(shares.sum()), people, float(shares.var()) / people, float(people), confidence)


def _rate(hits: npt.NDArray[Any], counts: npt.NDArray[Any], most: float, confidence: float) -> Rate:
    """Rate over blocks (G, G), with its variance by a jackknife over groups."""
    diagonal = np.arange(len(hits))
    left = [part.sum() - part.sum(axis=0) - part.sum(axis=1) + part[diagonal, diagonal] for part in (hits, counts)]
    there = left[1] > 0
    variance = jackknife_variance(left[0][there] / left[1][there]) if there.sum() > 1 else 0.0
    return rate_of(float(hits.sum()), int(counts.sum()), variance, most, confidence)
