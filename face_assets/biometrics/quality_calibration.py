"""Calibration of quality: how often faces of a raw quality match good photos of their person."""

import numpy as np
import numpy.typing as npt

from face_assets.biometrics.quality import QualityScale

FEWEST_FACES = 40
LEAST_MATCHES, MOST_MATCHES = 0.05, 0.95
"""Share of comparisons that match beyond which the faces do not show where quality begins to matter."""
WEAKEST = 1e6  # of scikit-learn's regularization: in effect none

Floats = npt.NDArray[np.float32]


def matched_shares(
    probes: Floats,
    probe_people: npt.NDArray[np.int64],
    good: Floats,
    good_people: npt.NDArray[np.int64],
    threshold: float,
    own: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """Share of the good photos of the same person, without its own, that each probe matches, float64 (n,); NaN without one.

    probes: float32 (n, d); good: float32 (m, d); own: int (n,), the row of `good` that shows the same photo.
    """
    order = np.argsort(good_people, kind="stable")
    begins, ends = (np.searchsorted(good_people[order], probe_people, side) for side in ("left", "right"))
    shares = np.full(len(probes), np.nan)
    for place, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        others = order[begin:end]
        others = others[others != own[place]]
        if len(others):
            shares[place] = float((good[others] @ probes[place] >= threshold).mean())
    return shares


def quality_scale(raw: Floats, shares: npt.NDArray[np.float64]) -> QualityScale | str:
    """The scale by logistic regression of the shares of matches on the raw quality, or a sentence that says why there is none.

    raw, shares: (n,); faces without a comparison (NaN) are left out.
    """
    from sklearn.linear_model import LogisticRegression

    known = np.isfinite(shares) & np.isfinite(raw)
    faces, mean = int(known.sum()), float(shares[known].mean()) if known.any() else 0.0
    if faces < FEWEST_FACES:
        return (
            f"faces have no quality: {faces} photos of people with two photos are too few to measure its scale, {FEWEST_FACES} are enough"
        )
    if not LEAST_MATCHES <= mean <= MOST_MATCHES:
        return f"faces have no quality: {mean:.0%} of the comparisons of shrunk faces match, which does not show where quality matters"
    values, centre = raw[known].astype(np.float64), float(raw[known].mean())
    spread = max(float(values.std()), 1e-9)
    twice = np.tile((values - centre) / spread, 2)[:, None]
    outcomes = np.repeat([1, 0], faces)
    fitted = LogisticRegression(C=WEAKEST).fit(twice, outcomes, sample_weight=np.concatenate([shares[known], 1 - shares[known]]))
    slope, offset = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    if slope <= 0:
        return "faces have no quality: with these weights, faces that the network keeps less of match as often"
    return QualityScale(round(slope / spread, 6), round(centre - spread * offset / slope, 6))
