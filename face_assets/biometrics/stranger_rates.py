"""The rate at which a stranger's photo reaches a score among the enrolled people, for every score and not for the threshold alone."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from face_assets.biometrics.impostor_scores import ImpostorScores
from face_assets.biometrics.thresholds import identification_threshold

RATES = tuple(float(rate) for rate in np.logspace(np.log10(0.5), -6, 30))
EVEN = 0.5  # confidence of an estimate without a safety margin


@dataclass(frozen=True)
class StrangerRates:
    """Rates by score. scores: ascending; rates: descending, the shares of strangers' photos whose best score is that high."""

    scores: tuple[float, ...]
    rates: tuple[float, ...]

    def at(self, score: float) -> float:
        """The rate at a score, linear in the logarithm between the stored ones; never above 1, and below the last one that one."""
        scores, rates = (-1.0, *self.scores), (1.0, *self.rates)
        return float(np.exp(np.interp(score, scores, np.log(rates))))

    def to_json(self) -> dict[str, Any]:
        """JSON-able values."""
        return asdict(self)

    @staticmethod
    def from_json(values: Mapping[str, Any] | None) -> "StrangerRates | None":
        """The rates that `to_json` wrote; None for those of a release of earlier versions."""
        return StrangerRates(tuple(values["scores"]), tuple(values["rates"])) if values else None


def stranger_rates(
    best: npt.NDArray[Any], strangers: npt.NDArray[Any], enrolled: int, searched: int, known: ImpostorScores
) -> StrangerRates:
    """Rates among `enrolled` people by the best scores (n,) of photos of `strangers` (n,) among `searched` of them.

    They are the estimates from which thresholds are chosen (thresholds.py), without the margin of a threshold, so both agree.
    """
    found = [identification_threshold(best, strangers, enrolled, searched, rate, EVEN, known).estimate for rate in RATES]
    rising = np.maximum.accumulate(np.array(found)) + 1e-6 * np.arange(len(RATES))  # strictly, for the interpolation
    return StrangerRates(tuple(round(float(score), 6) for score in rising), tuple(float(f"{rate:.4g}") for rate in RATES))
