"""Thresholds that hold for people by whom they were not chosen: an upper bound from the people at hand and what is known of the weights."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from face_assets.biometrics.impostor_scores import ImpostorScores
from face_assets.biometrics.score_blocks import BINS, SCORES, ScoreBlocks
from face_assets.biometrics.score_tail import Tail, gallery_variance, one_to_one, pair_tail, stranger_tail

ABOVE_EVERY_COSINE = 1.0 + 1e-4
LEAST_TAR = 0.5
"""A threshold that refuses more than this share of the comparisons of one person serves nobody."""
MOST_PEOPLE = 100_000


@dataclass(frozen=True)
class Threshold:
    """A threshold, and where it comes from.

    value: the bound that is served; estimate: the score without the safety margin; rate: the requested FMR or FPIR; confidence: of the rate
    being kept. people: those by whom it was chosen; own_weight: their weight against what is known of the weights, named by `known`.
    """

    value: float
    estimate: float
    rate: float
    confidence: float
    people: int
    own_weight: float
    known: str

    @property
    def basis(self) -> str:
        """Noun phrase about where the threshold comes from."""
        if not self.own_weight:
            return f"known scores of the weights ({self.known}), as {self.people:,} people are too few"
        if self.own_weight < 0.95:
            return f"{self.people:,} people ({self.own_weight:.0%}) and known scores of the weights ({self.known})"
        return f"{self.people:,} people"

    def to_json(self) -> dict[str, Any]:
        """JSON-able values, `basis` included."""
        return {**asdict(self), "basis": self.basis}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> "Threshold":
        """The threshold that `to_json` wrote."""
        return Threshold(**{key: value for key, value in values.items() if key != "basis"})


def verification_threshold(blocks: ScoreBlocks, far: float, confidence: float, known: ImpostorScores) -> Threshold:
    """Threshold for two photos: with `confidence`, at most `far` of the comparisons of two other people reach it."""
    people = int(blocks.sizes.sum())
    highest = float(SCORES[np.flatnonzero(blocks.photos.sum((0, 1)))[-1]]) if blocks.photos.any() else -1.0
    tail = pair_tail(blocks, far, known)
    return _bound(tail, known.photo_score(far), known.deviation, far, confidence, people, known.name, highest)


def identification_threshold(
    best: npt.NDArray[Any],
    strangers: npt.NDArray[Any],
    enrolled: int,
    searched: int,
    fpir: float,
    confidence: float,
    known: ImpostorScores,
) -> Threshold:
    """Threshold for one face among `enrolled` people: with `confidence`, at most `fpir` of other strangers find somebody.

    best: (n,) best scores of photos of people in `strangers` (n,), searched among `searched` of the enrolled people.
    """
    rate = one_to_one(fpir, enrolled)
    tail = stranger_tail(best, strangers, enrolled, searched, fpir, known) if len(best) else None
    unseen = known.mean_excess(rate) * float(np.sqrt(gallery_variance(fpir, enrolled, known)))
    people, highest = len(np.unique(strangers)), float(best.max(initial=-1.0))
    return _bound(tail, known.photo_score(rate), known.deviation, fpir, confidence, people, known.name, highest, unseen)


def people_needed(reach: float, far: float, confidence: float, known: ImpostorScores) -> int | None:
    """Fewest people by whom a threshold for two photos is expected to lie at most at `reach`; None if no number suffices.

    reach: a score that enough comparisons of one person reach, such as their median.
    """
    from scipy import stats

    margin = float(stats.norm.ppf(confidence))
    people = 2
    while people <= MOST_PEOPLE:
        pairs = people * (people - 1) / 2
        at = max(far, 10 / pairs)
        own = np.inf
        if at <= 0.5:
            chance = 4 * known.relative_variance(at) / people + 1 / (at * pairs) + 4 * known.relative_variance(far) / 100
            own = known.mean_excess(at) ** 2 * chance
        if known.photo_score(far) + margin * (1 / np.sqrt(1 / known.deviation**2 + 1 / own)) <= reach:
            return people
        people = people + 1 if people < 20 else int(people * 1.2)
    return None


def shortfall(threshold: Threshold, tar: float | None, reach: float, known: ImpostorScores) -> str | None:
    """Sentence about a threshold that would serve nobody, with the number of people that are needed; None if it serves.

    tar: share of the comparisons of one person that reach the threshold; reach: the median of those comparisons.
    """
    if tar is None or tar >= LEAST_TAR:
        return None
    needed = people_needed(reach, threshold.rate, threshold.confidence, known)
    cure = f"about {needed:,} people are needed" if needed and needed > threshold.people else "more people do not help, better weights do"
    return (
        f"the threshold {threshold.value:.4f}, which keeps FMR {threshold.rate:g} with confidence {threshold.confidence:g}, accepts "
        f"{tar:.0%} of the comparisons of one person; it was chosen by {threshold.people:,} people, {cure}"
    )


def _bound(
    tail: Tail | None,
    known: float,
    deviation: float,
    rate: float,
    confidence: float,
    people: int,
    name: str,
    highest: float,
    unseen: float = 0.0,
) -> Threshold:
    """Upper bound of the normal posterior of the score: the known one as its prior, the people's own estimate as its observation.

    Where the people lie higher than the prior allows, it counts for less: its variance is then estimated from the difference. Without a
    tail the bound is the prior's, or just above the people's `highest` score. unseen: standard deviation that no number of people narrows.
    """
    from scipy import stats

    margin = float(stats.norm.ppf(confidence))
    if tail is None:
        bound = max(known + margin * float(np.hypot(deviation, unseen)), highest + 4 / BINS)
        return Threshold(min(bound, ABOVE_EVERY_COSINE), known, rate, confidence, people, 0.0, name)
    prior, own = deviation**2, tail.deviation**2
    if tail.score > known:
        prior = max(prior, (tail.score - known) ** 2 - own)
    weight = prior / (prior + own)
    estimate = weight * tail.score + (1 - weight) * known
    value = min(estimate + margin * float(np.sqrt(weight * own + tail.unseen**2)), ABOVE_EVERY_COSINE)
    return Threshold(value, estimate, rate, confidence, people, round(weight, 6), name)
