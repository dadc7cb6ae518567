"""Error versus discard: FNMR without the photos of lowest quality (ISO/IEC 29794-1, after Grother and Tabassi 2007)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from face_assets.biometrics.labelled import Labelled

SHARES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
PHOTOS_OF_A_PERSON = 50
"""Photos of a person that are compared, evenly spread: otherwise one person with hundreds of photos would decide the curve."""


@dataclass(frozen=True)
class DiscardCurves:
    """FNMR at a threshold over the share of photos left out, the worst by each measure first.

    fnmr: measure → FNMR for each of SHARES, None where no pair is left; pairs: mated pairs of all photos.
    """

    fnmr: dict[str, list[float | None]]
    pairs: int

    def to_json(self) -> dict[str, Any]:
        """JSON-able values."""
        rounded = {name: [None if rate is None else round(rate, 6) for rate in rates] for name, rates in self.fnmr.items()}
        return {"discarded": list(SHARES), "fnmr": rounded, "pairs": self.pairs}


def discard_curves(seen: Labelled, measures: Mapping[str, npt.NDArray[Any]], threshold: float) -> DiscardCurves:
    """The curves of found photos. measures: name → float (k,) of the found photos, higher for better ones; NaN counts as the worst."""
    first, second, missed, compared = _pairs(seen, threshold)
    ranks = {name: _ranks(values, compared) for name, values in measures.items()}
    fnmr = {name: [_rate(missed, np.minimum(rank[first], rank[second]) >= share) for share in SHARES] for name, rank in ranks.items()}
    return DiscardCurves(fnmr, len(missed))


def _pairs(seen: Labelled, threshold: float) -> tuple[npt.NDArray[np.int64], ...]:
    """Rows of both photos of each mated pair and whether it is missed, (pairs,) each; and the rows that take part."""
    firsts, seconds, misses, compared = [], [], [], []
    for _, every in seen.by_person():
        rows = every[:: -(-len(every) // PHOTOS_OF_A_PERSON)]
        if len(rows) < 2:
            continue
        one, other = np.triu_indices(len(rows), 1)
        scores = (seen.embeddings[rows] @ seen.embeddings[rows].T)[one, other]
        firsts.append(rows[one])
        seconds.append(rows[other])
        misses.append((scores < threshold).astype(np.int64))
        compared.append(rows)
    return tuple(_joined(parts) for parts in (firsts, seconds, misses, compared))


def _joined(parts: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _ranks(values: npt.NDArray[Any], compared: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Share of the compared photos that are worse than each photo, (k,); of equal ones the first counts as the worse."""
    ranks = np.zeros(len(values))
    order = np.argsort(np.nan_to_num(values[compared].astype(np.float64), nan=-np.inf), kind="stable")
    ranks[compared[order]] = np.arange(len(order)) / max(len(order), 1)
    return ranks


def _rate(missed: npt.NDArray[np.int64], kept: npt.NDArray[np.bool_]) -> float | None:
    return float(missed[kept].mean()) if kept.any() else None
