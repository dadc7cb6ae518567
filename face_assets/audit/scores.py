"""Cosines of photos with their own person's other photos, and with the nearest other person."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SCORES_AT_ONCE = 16_000_000
SAMPLE = 2_000

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PhotoScores:
    """Cosines of n photos.

    own: float32 (n,), with the template of the person's other photos, NaN where there is no other; other: float32 (n,), with the nearest
    template of another person, NaN where there is nobody else; nearest: int64 (n,), that person, -1 where there is nobody else.
    """

    own: Floats
    other: Floats
    nearest: Ints


def templates(embeddings: Floats, people: Ints) -> tuple[Floats, Ints]:
    """Templates float32 (p, d), the normalised sums of each person's embeddings, and the number of photos of each, int64 (p,).

    embeddings: float32 (n, d) of unit length; people: int64 (n,), 0 to p - 1, each at least once.
    """
    order = np.argsort(people, kind="stable")
    counts = np.bincount(people)
    sums = np.add.reduceat(embeddings[order], np.r_[0, np.cumsum(counts)[:-1]], axis=0, dtype=np.float32)
    return np.asarray(sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9), np.float32), counts


def photo_scores(embeddings: Floats, people: Ints) -> PhotoScores:
    """Scores of every photo, in blocks, so that memory grows with the number of photos and not with its product with that of people.

    embeddings: float32 (n, d) of unit length; people: int64 (n,), 0 to p - 1, each at least once.
    """
    every, counts = templates(embeddings, people)
    other, nearest = np.full(len(people), np.nan, np.float32), np.full(len(people), -1, np.int64)
    if len(every) > 1:
        step = max(1, SCORES_AT_ONCE // len(every))
        for start in range(0, len(people), step):
            scores = embeddings[start : start + step] @ every.T
            rows = np.arange(len(scores))
            scores[rows, people[start : start + step]] = -2
            nearest[start : start + step] = scores.argmax(axis=1)
            other[start : start + step] = scores[rows, nearest[start : start + step]]
    return PhotoScores(_own(embeddings, people, counts), other, nearest)


def _own(embeddings: Floats, people: Ints, counts: Ints) -> Floats:
    """Cosine of each photo with the template of its person's other photos; NaN where there is no other."""
    order = np.argsort(people, kind="stable")
    sums = np.add.reduceat(embeddings[order], np.r_[0, np.cumsum(counts)[:-1]], axis=0, dtype=np.float32)
    own = np.empty(len(people), np.float32)
    step = max(1, SCORES_AT_ONCE // embeddings.shape[1])
    for start in range(0, len(people), step):
        part = embeddings[start : start + step]
        rest = sums[people[start : start + step]] - part
        own[start : start + step] = (rest * part).sum(axis=1) / np.maximum(np.linalg.norm(rest, axis=1), 1e-9)
    own[counts[people] < 2] = np.nan
    return own


def overlap(embeddings: Floats, people: Ints, own: Floats) -> float | None:
    """Share of scores with other people's templates that reach the median of `own`, by a sample of SAMPLE photos.

    It is small where the embeddings tell these people apart, and hardly changes while fewer than a third of the labels are wrong. None
    where there are no such scores.
    """
    known = own[np.isfinite(own)]
    if not len(known) or people.max() < 1:
        return None
    every, _ = templates(embeddings, people)
    rows = np.arange(len(people))[:: max(1, len(people) // SAMPLE)]
    median, above, scored = float(np.median(known)), 0, 0
    step = max(1, SCORES_AT_ONCE // len(every))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        scores = embeddings[part] @ every.T
        scores[np.arange(len(part)), people[part]] = -2
        above += int((scores >= median).sum())
        scored += scores.size - len(part)
    return above / scored
