"""Backward compatibility of embeddings: old templates against new probes (Shen et al. 2020, arXiv:2003.11942)."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from face_assets.biometrics.labelled import rows_at_once
from face_assets.biometrics.verification import BINS, Counts, Floats, bin_of, count_scores, tar_at_far

LEAST_MATED = 30
"""Fewest mated cross-comparisons for a share of them."""
MOST_FALSE_ACCEPTS = 2.0
"""Most false accepts of a comparison across, in multiples of the old embedder's at the old threshold."""


@dataclass(frozen=True)
class Compatibility:
    """Comparison of old templates with new probes at one false accept rate.

    is_compatible: the comparison across is good enough; reason: the figures, or why it could not be measured, as a sentence. tar, old_tar:
    across and of the old embedder with itself, each at its own threshold for `far`. At the old embedder's threshold, which applications
    have: tar_at_old_threshold, far_at_old_threshold. All four are None where they could not be measured.
    """

    is_compatible: bool
    reason: str
    photos: int
    far: float
    tar: float | None = None
    old_tar: float | None = None
    tar_at_old_threshold: float | None = None
    far_at_old_threshold: float | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON-able values."""
        return asdict(self)


def compare_embeddings(old: Floats, new: Floats, people: npt.NDArray[Any], far: float, max_loss: float) -> Compatibility:
    """Compatibility of new embeddings with old templates.

    old, new: float32 (n, d) of unit length, of the same n photos; people: (n,) integers; max_loss: how far TAR may fall below the old
    embedder's own. What cannot be measured is not compatible.
    """
    if old.shape[1:] != new.shape[1:]:
        return Compatibility(False, f"embeddings have {new.shape[1]} numbers in place of {old.shape[1]}", len(old), far)
    genuine, impostor = count_cross_scores(old, new, people)
    own_genuine, own_impostor = count_scores(old, people)
    own, across = tar_at_far(own_genuine, own_impostor, far), tar_at_far(genuine, impostor, far)
    mated = int(genuine.sum())
    if mated < LEAST_MATED:
        return Compatibility(False, f"{mated} mated comparisons are fewer than {LEAST_MATED}, so it cannot be measured", len(old), far)
    if own.tar is None or own.threshold is None or across.tar is None:
        pairs = f"{int(own_impostor.sum()):,} non-mated comparisons"
        return Compatibility(False, f"{pairs} cannot show FAR {far:g}, so it cannot be measured", len(old), far)
    at_old = min(int((own.threshold + 1) * (BINS / 2)), BINS - 1)
    kept = float(genuine[at_old:].sum() / mated)
    false_accepts, allowed = float(impostor[at_old:].sum() / impostor.sum()), MOST_FALSE_ACCEPTS * far
    is_compatible = min(across.tar, kept) >= own.tar - max_loss and false_accepts <= allowed
    reason = (
        f"old templates against new probes: TAR {across.tar:.4f} at FAR {far:g}, against {own.tar:.4f} of the old with itself; at its "
        f"threshold TAR {kept:.4f} and FAR {false_accepts:.2g}; TAR may lose {max_loss:g}, and FAR be {allowed:g}"
    )
    return Compatibility(is_compatible, reason, len(old), far, across.tar, own.tar, kept, false_accepts)


def count_cross_scores(old: Floats, new: Floats, people: npt.NDArray[Any]) -> tuple[Counts, Counts]:
    """Histograms (BINS,) of the cosines of each old embedding with the new ones of all other photos, of one person and of two."""
    genuine, impostor = np.zeros(BINS, np.int64), np.zeros(BINS, np.int64)
    step = rows_at_once(len(old))
    for start in range(0, len(old), step):
        scores = old[start : start + step] @ new.T
        rows = np.arange(len(scores))
        same = people[start : start + step, None] == people[None]
        bins = bin_of(scores)
        others = ~same
        same[rows, rows + start] = False  # no photo is compared with itself
        genuine += np.bincount(bins[same], minlength=BINS)
        impostor += np.bincount(bins[others], minlength=BINS)
    return genuine, impostor
