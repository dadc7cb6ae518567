"""Quality of a face (ISO/IEC 29794-1): a number from 0 to 100 that predicts whether the face is recognized."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
MOST_EXPONENT = 80.0  # beyond it a float32 is 0 or 100


@dataclass(frozen=True)
class QualityScale:
    """The scale of an embedder: its raw quality to the percentage of comparisons with good photos of the same person that match.

    slope: of the log-odds over the raw quality, positive; middle: raw quality of which half of the comparisons match.
    """

    slope: float
    middle: float

    def of(self, raw: Floats) -> Floats:
        """Qualities float32 (n,), 0 to 100, of raw ones float32 (n,); NaN for NaN."""
        exponents = np.clip(-self.slope * (np.asarray(raw, np.float64) - self.middle), -MOST_EXPONENT, MOST_EXPONENT)
        return np.asarray(100 / (1 + np.exp(exponents)), np.float32)

    def to_json(self) -> dict[str, float]:
        """JSON-able values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any] | None) -> Self | None:
        """The scale of `to_json`'s values; None for None."""
        return cls(float(values["slope"]), float(values["middle"])) if values else None


def qualities(scale: QualityScale | None, raw: Floats) -> Floats:
    """Qualities float32 (n,), 0 to 100, of raw ones; NaN without a scale, as in releases of earlier versions."""
    return scale.of(raw) if scale else np.full(len(raw), np.nan, np.float32)


def too_poor(quality: Floats, accepted: npt.NDArray[np.bool_], floor: float) -> npt.NDArray[np.bool_]:
    """True for each face that is too poor to tell who it is, bool (n,): not accepted, and its quality is below `floor`.

    quality: (n,), 0 to 100, or NaN where it is unknown, which is never too poor.
    """
    return ~accepted & (quality < floor)


def fused(embeddings: Floats, quality: Floats) -> Floats:
    """The unit embedding float32 (d,) of several photos of one person: their mean, weighted by quality.

    embeddings: float32 (n, d) of unit length, n >= 1; quality: (n,), 0 to 100; all count alike where one is NaN, or all are 0.
    """
    weights = quality if np.isfinite(quality).all() and quality.any() else np.ones_like(quality)
    mean = weights.astype(np.float64) @ embeddings
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), np.float32)
