"""Distances of a window's histograms from a reference's: population stability index, Wasserstein, Kolmogorov–Smirnov."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from face_assets.evaluation.feature_histograms import FEATURES

Counts = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

GROUPS = 10
HALF_A_PHOTO = 0.5
WIDTHS = np.array([feature.width for feature in FEATURES])


@dataclass(frozen=True)
class Distances:
    """Distances, (…, features) each. psi: over the reference's tenths; wasserstein: in the feature's unit; ks: 0 to 1. 0 without data."""

    psi: Floats
    wasserstein: Floats
    ks: Floats


def distances(reference: Counts, seen: Counts) -> Distances:
    """Distances of histograms. reference, seen: counts (…, features, BINS) that broadcast."""
    reference, seen = np.asarray(reference, np.float64), np.asarray(seen, np.float64)
    known, found = reference.sum(axis=-1), seen.sum(axis=-1)
    expected, observed = reference / np.maximum(known, 1)[..., None], seen / np.maximum(found, 1)[..., None]
    apart = np.abs(np.cumsum(observed, axis=-1) - np.cumsum(expected, axis=-1))
    nothing = (known == 0) | (found == 0)
    return Distances(
        psi=np.where(nothing, 0.0, _psi(expected, observed, known, found)),
        wasserstein=np.where(nothing, 0.0, apart.sum(axis=-1) * WIDTHS),
        ks=np.where(nothing, 0.0, apart.max(axis=-1)),
    )


def _psi(expected: Floats, observed: Floats, known: Floats, found: Floats) -> Floats:
    """Population stability index (Siddiqi 2006, Credit Risk Scorecards) over tenths of the reference, with half a photo added to each."""
    middle = np.cumsum(expected, axis=-1) - expected / 2
    group = np.minimum((middle * GROUPS).astype(np.int64), GROUPS - 1)
    total = np.zeros(np.broadcast_shapes(expected.shape, observed.shape)[:-1])
    for number in range(GROUPS):
        inside = group == number
        before = _smoothed((expected * inside).sum(axis=-1), known)
        now = _smoothed((observed * inside).sum(axis=-1), found)
        total += np.where(inside.any(axis=-1), (now - before) * np.log(now / before), 0.0)
    return total


def _smoothed(share: Floats, count: Floats) -> Floats:
    return (share * count + HALF_A_PHOTO) / (count + HALF_A_PHOTO * GROUPS)
