"""People who look like one person under two names."""

from dataclasses import dataclass

import numpy as np

from face_assets.audit.scores import Floats, Ints, Scale, Templates
from face_assets.biometrics.blocks import blocks

COHORT = 10
LEAST = 0.62
"""Of the scale, for the score of two templates less half of their cohort's."""


@dataclass(frozen=True)
class Pair:
    """Two people, by number, with the cosine of their templates."""

    one: int
    other: int
    score: float


def same_people(known: Templates, scale: Scale) -> list[Pair]:
    """The pairs of people who look like one, the most alike first.

    The score of a pair is its cosine less half of the mean of the best COHORT other scores of the two, as in adaptive score normalisation
    (Matejka et al. 2017): of people whom the embedder takes for alike, each scores high with many.
    """
    count = min(COHORT + 1, len(known.vectors) - 1)
    if count < 1:
        return []
    best, places = _nearest(known, count)
    rows, ranks = np.nonzero(best >= scale.at(LEAST))
    pairs = {
        (min(one, two), max(one, two)): float(best[one, rank]) for one, two, rank in zip(rows, places[rows, ranks], ranks, strict=True)
    }
    found = []
    for (one, two), score in pairs.items():
        alike = (max(_cohort(best[one], score), scale.between) + max(_cohort(best[two], score), scale.between)) / 2
        if score - (alike - scale.between) / 2 >= scale.at(LEAST):
            found.append(Pair(int(one), int(two), score))
    return sorted(found, key=lambda pair: (-pair.score, pair.one, pair.other))


def _nearest(known: Templates, count: int) -> tuple[Floats, Ints]:
    """The best `count` scores of each person with others, and these others, (p, count) each; -2 for people without a used photo."""
    best, places = np.empty((len(known.vectors), count), np.float32), np.empty((len(known.vectors), count), np.int64)
    for part in blocks(len(known.vectors), len(known.vectors)):
        scores = known.vectors[part] @ known.vectors.T
        scores[:, known.counts == 0] = -2
        scores[known.counts[part] == 0] = -2
        scores[np.arange(len(scores)), np.arange(part.start, part.stop)] = -3
        places[part] = np.argpartition(scores, -count, axis=1)[:, -count:]
        best[part] = np.take_along_axis(scores, places[part], axis=1)
    return best, places


def _cohort(best: Floats, score: float) -> float:
    """Mean of a person's best scores without that of the pair."""
    others = np.sort(best[best > -1])
    if not len(others):
        return -1.0
    at = int(np.abs(others - score).argmin()) if score >= others[0] else 0
    rest = np.delete(others, at)
    return float(rest.mean()) if len(rest) else -1.0
