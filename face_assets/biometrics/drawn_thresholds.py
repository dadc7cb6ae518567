"""Thresholds as they would be if other people had set them: one for each draw of a bootstrap over the calibration people."""

import numpy as np
import numpy.typing as npt

from face_assets.biometrics.labelled import ROWS_AT_ONCE, Labelled
from face_assets.biometrics.paired_bootstrap import DRAWS, WEIGHTS_AT_ONCE, people_drawn

Doubles = npt.NDArray[np.float64]
REACH = 4
"""How many times the allowed comparisons are kept for draws that weigh the highest ones more."""
MOST_KEPT = 20_000


def verification_thresholds(calibration: Labelled, far: float, threshold: float, seed: int) -> Doubles:
    """Thresholds of verification for `far`, (DRAWS,); threshold: the one that all calibration people set."""
    scores, first, second = _highest_pairs(calibration, far)
    if not len(scores):
        return np.full(DRAWS, threshold)
    photos = np.bincount(calibration.found_people, minlength=calibration.count).astype(np.float64)
    found = []
    for _, weights in people_drawn(calibration.count, seed):
        pairs = ((weights @ photos) ** 2 - weights**2 @ photos**2) / 2
        parts = _parts(len(weights), len(scores))
        found += [_reached(scores, weights[rows][:, first] * weights[rows][:, second], far * pairs[rows]) for rows in parts]
    return np.concatenate(found)


def identification_thresholds(strangers: Labelled, rate: float, threshold: float, seed: int) -> Doubles:
    """Thresholds of identification for a share `rate` of strangers' searches, (DRAWS,)."""
    scores = strangers.stranger_scores()
    kept = np.argsort(scores)[::-1][: REACH * int(rate * len(scores)) + ROWS_AT_ONCE]
    people = strangers.found_people[kept]
    photos = np.bincount(strangers.found_people, minlength=strangers.count).astype(np.float64)
    found = []
    for _, weights in people_drawn(strangers.count, seed):
        parts = _parts(len(weights), len(kept))
        found += [_reached(scores[kept], weights[rows][:, people], rate * (weights[rows] @ photos)) for rows in parts]
    return np.concatenate(found) if found else np.full(DRAWS, threshold)


def _parts(draws: int, scores: int) -> list[slice]:
    """Draws in parts of bounded memory."""
    step = max(1, WEIGHTS_AT_ONCE // max(scores, 1))
    return [slice(start, start + step) for start in range(0, draws, step)]


def _reached(scores: Doubles, weights: Doubles, allowed: Doubles) -> Doubles:
    """The score, of descending ones (n,), up to which the weights (draws, n) come to `allowed` (draws,), for each draw."""
    places = (np.cumsum(weights, axis=1) <= allowed[:, None]).sum(axis=1)
    return np.asarray(scores[np.minimum(places, len(scores) - 1)], np.float64)


def _highest_pairs(labelled: Labelled, far: float) -> tuple[Doubles, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Scores, descending, and both people of the non-mated pairs that score highest."""
    photos = len(labelled.found)
    wanted = min(MOST_KEPT, REACH * int(far * photos * (photos - 1) / 2) + 1)
    kept = np.zeros((3, 0))
    for start in range(0, photos, ROWS_AT_ONCE):
        mine = labelled.found_people[start : start + ROWS_AT_ONCE]
        scores = labelled.embeddings[start : start + ROWS_AT_ONCE] @ labelled.embeddings[start:].T
        later = np.arange(scores.shape[1])[None] > np.arange(len(scores))[:, None]
        scores[~later | (mine[:, None] == labelled.found_people[None, start:])] = -2.0
        places = np.argpartition(scores, -min(wanted, scores.size), axis=None)[-min(wanted, scores.size) :]
        rows, columns = np.unravel_index(places, scores.shape)
        found = np.stack([scores[rows, columns], mine[rows], labelled.found_people[start:][columns]])
        kept = np.concatenate([kept, found[:, found[0] > -2.0]], axis=1)
        kept = kept[:, np.argsort(-kept[0], kind="stable")[:wanted]]
    return kept[0], kept[1].astype(np.int64), kept[2].astype(np.int64)
