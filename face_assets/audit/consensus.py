"""The subject of photos with several faces: the face that agrees with the other photos of the same person."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

MARGIN = 0.1
LEAST_AGREEMENT = 0.5
"""Of the median cosine of the person's subjects, so that a photo filed under the wrong person keeps its first choice, to be found by."""
MOST_SEEDS = 256
MOST_ROUNDS = 10


@dataclass(frozen=True)
class Choice:
    """The subjects of one person's photos. rows: int64 (p,), the chosen face of each photo; scores: float32 (f,), the cosine of each face
    with the person's other photos."""

    rows: Ints
    scores: Floats


def choose_subjects(embeddings: Floats, photos: Ints) -> Choice:
    """The subject of each of one person's photos.

    embeddings: float32 (f, d) of unit length, the photos' faces, the detector's first choice first; photos: int64 (f,), 0 to p - 1 and
    ascending, the photo of each face.
    """
    starts = np.flatnonzero(np.r_[True, np.diff(photos) > 0])
    rows = _start(embeddings, starts, photos)
    for _ in range(MOST_ROUNDS):
        scores = _scores(embeddings, photos, rows)
        better = _best(scores, starts, photos)
        if (better == rows).all():
            break
        rows = better
    scores = _scores(embeddings, photos, rows)
    agrees = (scores[rows] - scores[starts] >= MARGIN) & (scores[rows] >= LEAST_AGREEMENT * np.median(scores[rows]))
    rows = np.where(agrees, rows, starts)
    return Choice(rows, _scores(embeddings, photos, rows))


def _start(embeddings: Floats, starts: Ints, photos: Ints) -> Ints:
    """The faces nearest to the one that most photos have a face like; of several such, to one that is most often the first choice."""
    seeds = np.arange(len(photos))[:: -(-len(photos) // MOST_SEEDS)]
    cosines = embeddings[seeds] @ embeddings.T
    nearest = np.maximum.reduceat(cosines, starts, axis=1)  # of each photo's faces
    first = (nearest == cosines[:, starts]).sum(axis=1)
    nearest[np.arange(len(seeds)), photos[seeds]] = 0
    support = nearest.sum(axis=1)
    alike = (nearest >= LEAST_AGREEMENT * support.max() / max(1, len(starts) - 1)).sum(axis=1)
    seed = np.lexsort((support, first, alike))[-1]
    return _best(cosines[seed], starts, photos)


def _scores(embeddings: Floats, photos: Ints, rows: Ints) -> Floats:
    """The cosine of each face with the sum of the faces chosen in the other photos."""
    chosen = embeddings[rows]
    rest = (chosen.sum(axis=0) - chosen)[photos]
    return np.asarray((embeddings * rest).sum(axis=1) / np.maximum(np.linalg.norm(rest, axis=1), 1e-9), np.float32)


def _best(scores: Floats, starts: Ints, photos: Ints) -> Ints:
    """The face of each photo with the highest score, the first of several."""
    return np.lexsort((np.arange(len(scores)), -scores, photos))[starts]
