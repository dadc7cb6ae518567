"""Histograms of scores by groups of people, from which any group can be left out."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
BINS = 4096
GROUPS = 10
ROWS_AT_ONCE = 1024
SCORES: Floats = np.arange(BINS) / (BINS / 2) - 1
"""Upper edge of each bin: scores are rounded up, so a threshold from them is on the safe side."""


@dataclass(frozen=True)
class ScoreBlocks:
    """Scores of all comparisons of n people in G groups.

    photos, people: (G, G, BINS), upper triangle, non-mated comparisons of the groups; in `photos` each pair of photos counts 1, in `people`
    each pair of people 1 in all. mated: (G, BINS), pairs of photos of one person. sizes: (G,) people.
    """

    photos: Floats
    people: Floats
    mated: Floats
    sizes: npt.NDArray[np.int64]

    def without(self, groups: Sequence[int]) -> "ScoreBlocks":
        """The blocks of the other groups."""
        kept = [group for group in range(len(self.sizes)) if group not in groups]
        square = np.ix_(kept, kept)
        return ScoreBlocks(self.photos[square], self.people[square], self.mated[kept], self.sizes[kept])


def groups_of(identities: Sequence[Any], groups: int = GROUPS) -> npt.NDArray[np.int64]:
    """Group (n,) of each of n different identities: equal shares in the order of a hash of the name, so that hardly anybody changes the
    group when people are added."""
    order = np.argsort([hashlib.sha256(str(identity).encode()).hexdigest() for identity in identities])
    found = np.empty(len(order), np.int64)
    found[order] = np.arange(len(order)) * min(groups, len(order)) // max(1, len(order))
    return found


def score_blocks(embeddings: npt.NDArray[np.float32], identities: npt.NDArray[Any]) -> ScoreBlocks:
    """Scores by groups. embeddings: float32 (n, d) of unit length; identities: (n,)."""
    names, places, counts = np.unique(identities, return_inverse=True, return_counts=True)
    person_group = groups_of(names.tolist())
    sizes = np.bincount(person_group)
    groups = len(sizes)
    photos, people, mated = np.zeros((groups, groups, BINS)), np.zeros((groups, groups, BINS)), np.zeros((groups, BINS))
    members = [np.flatnonzero(person_group[places] == group) for group in range(groups)]
    for first in range(groups):
        for start in range(0, len(members[first]), ROWS_AT_ONCE):
            rows = members[first][start : start + ROWS_AT_ONCE]
            for second in range(first, groups):
                columns = members[second] if second > first else members[second][start:]
                later = np.ones((len(rows), len(columns)), bool)
                if second == first:
                    later = np.arange(len(columns))[None] > np.arange(len(rows))[:, None]
                bins = bins_of(embeddings[rows] @ embeddings[columns].T)
                same = places[rows][:, None] == places[columns][None]
                shares = (1 / counts[places[rows]])[:, None] / counts[places[columns]][None]
                other = later & ~same
                photos[first, second] += np.bincount(bins[other], minlength=BINS)
                people[first, second] += np.bincount(bins[other], shares[other], minlength=BINS)
                if second == first:
                    mated[first] += np.bincount(bins[same & later], minlength=BINS)
    return ScoreBlocks(photos, people, mated, sizes)


def bins_of(scores: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """The bin of each cosine."""
    return np.clip(np.ceil((scores + 1) * (BINS / 2)), 0, BINS - 1).astype(np.int32)


def first_bin(histogram: Floats, rate: float) -> int:
    """The lowest bin from which on there is at most `rate` of the histogram; BINS if the last bin holds more."""
    accepted = np.cumsum(histogram[::-1])[::-1]
    return int(np.searchsorted(-accepted, -rate * accepted[0], side="left"))


def score_at(histogram: Floats, rate: float) -> float:
    """The lowest score that at most `rate` of the histogram reaches."""
    return float(SCORES[min(first_bin(histogram, rate), BINS - 1)])


def share_from(histogram: Floats, score: float) -> float:
    """Share of the histogram from a score on."""
    total = histogram.sum()
    return float(histogram[np.searchsorted(SCORES, score) :].sum() / total) if total else 0.0


def spread_of(histogram: Floats, scores: Floats = SCORES) -> float:
    """Standard deviation of the scores of a histogram."""
    mean = (histogram * scores).sum() / histogram.sum()
    return float(np.sqrt((histogram * (scores - mean) ** 2).sum() / histogram.sum()))
