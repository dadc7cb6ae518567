"""Cosines of photos with their own person's other photos and with the nearest other person, and the scale on which they are read."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from face_assets.biometrics.blocks import blocks

SAMPLE = 2_000
UPPER = 0.8413  # of a normal distribution, one standard deviation above its mean

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Templates:
    """Templates of p people from some of their photos.

    vectors: float32 (p, d) of unit length, 0 where none of the photos is used; sums: float32 (p, d) of the used embeddings; counts: int64
    (p,) of the used photos.
    """

    vectors: Floats
    sums: Floats
    counts: Ints


@dataclass(frozen=True)
class Scale:
    """Scores of right labels by one embedder, robust against wrong ones, since medians are.

    within: the median score of a photo with its person's other photos; between: that with another person's; spread: of the scores between
    people, their 84th percentile less the median, which is the standard deviation of a normal distribution.
    """

    within: float
    between: float
    spread: float

    @property
    def separation(self) -> float:
        """Distance of `within` from `between` in spreads: large where the embedder distinguishes these people."""
        return (self.within - self.between) / max(self.spread, 1e-6)

    def at(self, share: float) -> float:
        """The score at this share of the way from `between` to `within`."""
        return self.between + share * (self.within - self.between)


def templates(embeddings: Floats, people: Ints, used: Flags) -> Templates:
    """Templates of the used photos. embeddings: float32 (n, d) of unit length; people: int64 (n,), 0 to p - 1; used: bool (n,)."""
    order = np.argsort(people, kind="stable")
    starts = np.searchsorted(people[order], np.arange(people.max() + 1))
    sums = np.add.reduceat(embeddings[order] * used[order, None], starts, axis=0, dtype=np.float32)
    vectors = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)
    return Templates(np.asarray(vectors, np.float32), sums, np.bincount(people, weights=used).astype(np.int64))


def own_scores(embeddings: Floats, people: Ints, used: Flags, known: Templates) -> Floats:
    """Cosine of each photo with the template of its person's other used photos, float32 (n,); NaN where there is none."""
    own = np.empty(len(people), np.float32)
    for part in blocks(len(people), embeddings.shape[1]):
        rest = known.sums[people[part]] - embeddings[part] * used[part, None]
        own[part] = (rest * embeddings[part]).sum(axis=1) / np.maximum(np.linalg.norm(rest, axis=1), 1e-9)
    own[known.counts[people] - used < 1] = np.nan
    return own


def other_scores(embeddings: Floats, people: Ints, known: Templates) -> tuple[Floats, Ints]:
    """Cosine of each photo with the nearest template of another person, float32 (n,), and that person, int64 (n,).

    NaN and -1 where there is nobody else.
    """
    other, nearest = np.full(len(people), np.nan, np.float32), np.full(len(people), -1, np.int64)
    for part in blocks(len(people), len(known.vectors)):
        scores = embeddings[part] @ known.vectors.T
        scores[:, known.counts == 0] = -2
        scores[np.arange(len(scores)), people[part]] = -2
        nearest[part] = scores.argmax(axis=1)
        other[part] = scores.max(axis=1)
    alone = ~(other > -2)
    other[alone], nearest[alone] = np.nan, -1
    return other, nearest


def scale_of(embeddings: Floats, people: Ints, own: Floats, known: Templates) -> Scale | None:
    """The scale of these scores, those between people by a sample of photos and people; None for one person, or one photo of each."""
    within = own[np.isfinite(own)]
    if not len(within) or len(known.vectors) < 2:
        return None
    rows = np.arange(len(people))[:: max(1, len(people) // SAMPLE)]
    columns = np.arange(len(known.vectors))[:: max(1, len(known.vectors) // SAMPLE)]
    scores = embeddings[rows] @ known.vectors[columns].T
    between, upper = np.quantile(scores[people[rows][:, None] != columns], (0.5, UPPER))
    return Scale(float(np.median(within)), float(between), float(upper - between))
