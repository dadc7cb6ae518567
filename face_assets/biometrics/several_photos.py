"""Identification by several photos of a person, fused by quality: FNIR and FPIR at the threshold for one photo."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from face_assets.biometrics.labelled import Labelled
from face_assets.biometrics.quality import fused

COUNTS = (1, 3, 5)
GROUPS_OF_A_PERSON = 4
"""Disjoint groups of photos that a person searches with, at most, so that one with hundreds of photos does not decide the figures."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class SeveralPhotos:
    """Searches of people with more photos than the largest of COUNTS, the same groups of photos for each number of photos.

    fnir: number of photos → share of searches that do not find the person at the threshold; fpir: share that find somebody in the gallery
    without the person.
    """

    people: int
    searches: int
    threshold: float
    fnir: dict[int, float]
    fpir: dict[int, float]

    def to_json(self) -> dict[str, Any]:
        """JSON-able values."""
        rates = {
            name: {str(count): round(rate, 6) for count, rate in rates.items()}
            for name, rates in (("fnir", self.fnir), ("fpir", self.fpir))
        }
        return {"people": self.people, "searches": self.searches, "threshold": round(self.threshold, 6), **rates}


def several_photos(seen: Labelled, quality: Floats, threshold: float | None) -> SeveralPhotos | None:
    """The figures of found photos; None without a threshold or without a person of enough photos.

    quality: (k,) of the found photos, NaN where it is unknown. A group is searched in the gallery of everybody, where the person's template
    is the mean of the photos outside the group.
    """
    if threshold is None:
        return None
    groups = [(person, group, rest) for person, rows in seen.by_person() for group, rest in _groups(rows)]
    if not groups:
        return None
    templates = (seen.sums / np.maximum(np.linalg.norm(seen.sums, axis=1, keepdims=True), 1e-12)).astype(np.float32)
    found, strangers = dict.fromkeys(COUNTS, 0), dict.fromkeys(COUNTS, 0)
    for person, group, rest in groups:
        own = seen.embeddings[rest].sum(axis=0)
        own /= max(float(np.linalg.norm(own)), 1e-12)
        for count in COUNTS:
            probe = fused(seen.embeddings[group[:count]], quality[group[:count]])
            others = templates @ probe
            others[person] = -1.0
            mine, best = float(own @ probe), float(others.max())
            found[count] += mine >= threshold and mine > best
            strangers[count] += best >= threshold
    total = len(groups)
    fnir, fpir = {count: 1 - found[count] / total for count in COUNTS}, {count: strangers[count] / total for count in COUNTS}
    return SeveralPhotos(len({person for person, _, _ in groups}), total, threshold, fnir, fpir)


def _groups(rows: npt.NDArray[np.int64]) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Disjoint groups of a person's photos with the photos outside each, spread over `rows`: neighbours may be shots of one moment."""
    groups = min(len(rows) // max(COUNTS), GROUPS_OF_A_PERSON)
    if len(rows) <= max(COUNTS):
        return []
    step = len(rows) // max(COUNTS)
    chosen = [rows[start::step][: max(COUNTS)] for start in range(groups)]
    return [(group, np.setdiff1d(rows, group)) for group in chosen]
