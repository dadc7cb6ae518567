"""The score that a rate of non-mated comparisons reaches, from the people at hand, and how far that estimate may be off.

With few people a rate such as 1e-3 lies beyond every comparison. The score of a larger rate, which a few comparisons reach, is then taken
from the people, and the distance from there to the requested rate from the known tail of the weights: a tail of known shape and estimated
scale. Comparisons of one person depend on each other: variances are over people, by a jackknife over groups (Efron and Stein 1981).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from face_assets.biometrics.impostor_scores import ImpostorScores
from face_assets.biometrics.score_blocks import SCORES, Floats, ScoreBlocks, first_bin, score_at, spread_of

PAIRS, STRANGERS = 10, 8
"""Pairs of people, and strangers, that reach the score which is taken from the people."""
LARGEST_RATE = 0.5
SCALE_DEVIATION = 0.1
"""Standard deviation of the scale's logarithm between populations."""
PEOPLE_TO_COME = 100
"""People by whom the threshold will be used; their own composition moves the rate too (a prediction bound, not a confidence bound)."""
STRANGERS_TO_COME = 400
"""The same for strangers, of whom a share of `fpir` decides."""
BOTH_SIDES = 2.0
"""Enrolled people who are strangers to each other count a close pair twice."""


@dataclass(frozen=True)
class Tail:
    """Estimate of the score at a rate, and its standard deviation over people.

    unseen: standard deviation by what the people do not show, such as strangers who resemble one of the few enrolled; no number of people
    narrows it.
    """

    score: float
    deviation: float
    unseen: float = 0.0


def pair_tail(blocks: ScoreBlocks, rate: float, known: ImpostorScores) -> Tail | None:
    """Tail of comparisons of two photos at `rate`. None with too few people to say anything.

    Raises nothing for embeddings without spread: the score then lies above every cosine.
    """
    people = int(blocks.sizes.sum())
    pairs = people * (people - 1) / 2
    reached = max(rate, PAIRS / pairs) if pairs else 1.0
    if reached > LARGEST_RATE:
        return None
    total = blocks.people.sum((0, 1))
    left_out = total - _own(blocks.people)
    spread = spread_of(total)
    if spread < 1e-3:
        return Tail(score_at(total, reached) + 1e-3, 1e-3)
    count = reached * pairs
    place = min(first_bin(total, reached), len(SCORES) - 1)
    share = float(total[place:].sum() / total.sum()) or reached
    weights = np.maximum(left_out.sum(axis=1), 1e-9)
    excess = _mean_excess(total[place:], SCORES[place:], float(SCORES[place]), count, known.mean_excess(reached))
    chance = max(
        jackknife_variance(left_out[:, place:].sum(axis=1) / weights / share),
        4 * known.relative_variance(reached) / people + 1 / count,
    )
    to_come = 4 * known.relative_variance(rate) / PEOPLE_TO_COME
    means = left_out @ SCORES / weights
    spreads = np.sqrt(np.maximum(left_out @ SCORES**2 / weights - means**2, 1e-9))
    scale, scale_variance = _scale(np.log(spread / known.spread), jackknife_variance(np.log(spreads / known.spread)))
    distance = scale * max(0.0, known.photo_score(rate) - known.people_score(reached))
    variance = excess**2 * (chance + to_come) + distance**2 * scale_variance
    return Tail(float(SCORES[place]) + distance, float(np.sqrt(variance)))


def stranger_tail(
    best: npt.NDArray[Any], strangers: npt.NDArray[Any], enrolled: int, searched: int, rate: float, known: ImpostorScores
) -> Tail | None:
    """Tail of strangers' best scores among `enrolled` people, each stranger counting once. None with too few strangers.

    best: (n,) best scores of photos; strangers: (n,) identities; searched: people among whom they were searched. Where those are fewer than
    `enrolled`, the rate is that much smaller: P(best of N >= t) <= N / m * P(best of m >= t) for m of N people at random.
    """
    from scipy import stats

    names, places, counts = np.unique(strangers, return_inverse=True, return_counts=True)
    people = len(names)
    asked = rate * min(1.0, searched / max(1, enrolled))
    reached = max(asked, min(STRANGERS / people, LARGEST_RATE)) if people >= STRANGERS // 2 + 2 else 1.0
    if reached > LARGEST_RATE or not searched:
        return None
    shares = 1 / counts[places]
    order = np.argsort(best)[::-1]
    place = min(int(np.searchsorted(np.cumsum(shares[order]) / people, reached, side="right")), len(best) - 1)
    score = float(best[order][place]) + 1e-4
    hits = shares * (best >= score)
    per_person = np.bincount(places, hits, minlength=people)
    share = max(float(per_person.mean()), reached / 2)
    at, to = one_to_one(reached, searched), one_to_one(asked, searched)
    excess = _mean_excess(hits, best, score, reached * people, known.mean_excess(at))
    chance = BOTH_SIDES * max(float(per_person.var()) / share**2 / people, 0.5 / (reached * people))
    unseen = gallery_variance(rate, enrolled, known) - known.relative_variance(at) / max(1, enrolled)
    distance = max(0.0, known.people_score(to) - known.people_score(at))
    few = float(stats.t.ppf(0.95, people - 1) / stats.norm.ppf(0.95)) ** 2
    variance = few * excess**2 * chance + (SCALE_DEVIATION * distance) ** 2
    return Tail(score + distance, float(np.sqrt(variance)), excess * float(np.sqrt(max(0.0, unseen))))


def one_to_one(rate: float, enrolled: int) -> float:
    """The false match rate of one comparison at which a stranger finds somebody among `enrolled` people with probability `rate`.

    Comparisons with several people are positively dependent or disjoint events at worst, so this is near the bound rate / enrolled.
    """
    return float(-np.expm1(np.log1p(-rate) / max(1, enrolled)))


def gallery_variance(fpir: float, enrolled: int, known: ImpostorScores) -> float:
    """Relative variance of the FPIR between galleries of `enrolled` people and between the strangers to come."""
    return known.relative_variance(one_to_one(fpir, enrolled)) / max(1, enrolled) + 1 / (fpir * STRANGERS_TO_COME)


def jackknife_variance(left_out: npt.NDArray[Any]) -> float:
    """Variance of an estimate from its values without each group; left_out: (G,)."""
    groups = len(left_out)
    return float((groups - 1) / groups * ((left_out - left_out.mean()) ** 2).sum())


def _own(blocks: Floats) -> Floats:
    """Histograms (G, BINS) of the comparisons in which each group takes part."""
    diagonal = np.arange(len(blocks))
    return np.asarray(blocks.sum(axis=0) + blocks.sum(axis=1) - blocks[diagonal, diagonal])


def _mean_excess(weights: npt.NDArray[Any], scores: npt.NDArray[Any], score: float, count: float, known: float) -> float:
    """Mean distance above a score of those that reach it, with the known one as PAIRS more comparisons: the exponential tail's scale."""
    total = weights.sum()
    own = float((weights * (scores - score)).sum() / total) if total else known
    return (max(own, 0.0) * count + known * PAIRS) / (count + PAIRS)


def _scale(logarithm: float, variance: float) -> tuple[float, float]:
    """Scale of the scores against the known ones, drawn towards 1, and the variance of its logarithm."""
    weight = SCALE_DEVIATION**2 / (SCALE_DEVIATION**2 + variance)
    return float(np.exp(weight * logarithm)), weight * variance
