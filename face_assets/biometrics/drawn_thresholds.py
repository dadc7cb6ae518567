"""Thresholds as they would be if other people had set them: one for each draw of a bootstrap over the calibration people."""

import numpy as np
import numpy.typing as npt

from face_assets.biometrics.labelled import ROWS_AT_ONCE, Labelled, rows_at_once
from face_assets.biometrics.paired_bootstrap import DRAWS, WEIGHTS_AT_ONCE, people_drawn

Doubles = npt.NDArray[np.float64]
REACH = 4
"""Comparisons kept for draws that weigh the highest ones more, in multiples of the allowed ones."""
MOST_KEPT = 100_000
"""Most pairs kept. Where REACH times the allowed ones are more, every so many a pair is counted, and as many times fewer are allowed."""


def verification_thresholds(calibration: Labelled, far: float, threshold: float, seed: int) -> Doubles:
    """Thresholds of verification for `far`, (DRAWS,); threshold: the one that all calibration people set."""
    stride = _stride(calibration, far)
    scores, first, second = _highest_pairs(calibration, far, stride)
    if not len(scores):
        return np.full(DRAWS, threshold)
    photos = np.bincount(calibration.found_people, minlength=calibration.count).astype(np.float64)
    found = []
    for _, weights in people_drawn(calibration.count, seed):
        pairs = ((weights @ photos) ** 2 - weights**2 @ photos**2) / 2
        parts = _parts(len(weights), len(scores))
        found += [_reached(scores, weights[rows][:, first] * weights[rows][:, second], far * pairs[rows] / stride) for rows in parts]
    drawn = np.concatenate(found)
    if stride == 1:
        return drawn
    pairs = (photos.sum() ** 2 - (photos**2).sum()) / 2
    return drawn + threshold - _reached(scores, np.ones((1, len(scores))), np.array([far * pairs / stride]))


def identification_thresholds(strangers: Labelled, rate: float, threshold: float, seed: int) -> Doubles:
    """Thresholds of identification for a share `rate` of strangers' searches, (DRAWS,)."""
    scores = strangers.stranger_scores
    if not len(scores):
        return np.full(DRAWS, threshold)
    kept = np.argsort(scores)[::-1][: REACH * int(rate * len(scores)) + ROWS_AT_ONCE]
    people = strangers.found_people[kept]
    photos = np.bincount(strangers.found_people, minlength=strangers.count).astype(np.float64)
    found = []
    for _, weights in people_drawn(strangers.count, seed):
        parts = _parts(len(weights), len(kept))
        found += [_reached(scores[kept], weights[rows][:, people], rate * (weights[rows] @ photos)) for rows in parts]
    return np.concatenate(found)


def _parts(draws: int, scores: int) -> list[slice]:
    """Draws in parts of bounded memory."""
    step = max(1, WEIGHTS_AT_ONCE // max(scores, 1))
    return [slice(start, start + step) for start in range(0, draws, step)]


def _reached(scores: Doubles, weights: Doubles, allowed: Doubles) -> Doubles:
    """The score, of descending ones (n,), up to which the weights (draws, n) come to `allowed` (draws,), for each draw."""
    places = (np.cumsum(weights, axis=1) <= allowed[:, None]).sum(axis=1)
    return np.asarray(scores[np.minimum(places, len(scores) - 1)], np.float64)


def _allowed(labelled: Labelled, far: float) -> int:
    """Number of pairs of found photos that `far` allows."""
    photos = len(labelled.found)
    return int(far * photos * (photos - 1) / 2)


def _stride(labelled: Labelled, far: float) -> int:
    """One in so many pairs is counted; 1 where REACH times the allowed ones can be kept."""
    return max(1, -(-REACH * _allowed(labelled, far) // MOST_KEPT))


def _highest_pairs(labelled: Labelled, far: float, stride: int) -> tuple[Doubles, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Scores, descending, and both people of the non-mated pairs that score highest, among one in `stride` pairs of shuffled photos."""
    photos = len(labelled.found)
    order = np.random.default_rng(0).permutation(photos) if stride > 1 else np.arange(photos)
    vectors, people = labelled.embeddings[order], labelled.found_people[order]
    wanted = REACH * _allowed(labelled, far) // stride + 1
    kept = np.zeros((3, 0))
    step = rows_at_once(photos)
    for start in range(0, photos, step):
        mine = people[start : start + step]
        scores = vectors[start : start + step] @ vectors[start:].T
        rows, columns = np.arange(len(scores))[:, None], np.arange(scores.shape[1])[None]
        counted = (columns > rows) & (columns % stride == -rows % stride) & (mine[:, None] != people[None, start:])
        places = np.flatnonzero(counted)
        values = scores.ravel()[places]
        if len(places) > wanted:
            highest = np.argpartition(values, -wanted)[-wanted:]
            places, values = places[highest], values[highest]
        found = np.stack([values, mine[places // scores.shape[1]], people[start:][places % scores.shape[1]]])
        kept = np.concatenate([kept, found], axis=1)
        kept = kept[:, np.argsort(-kept[0], kind="stable")[:wanted]]
    return kept[0], kept[1].astype(np.int64), kept[2].astype(np.int64)
