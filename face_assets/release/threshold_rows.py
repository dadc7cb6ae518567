"""The model card's rows on the two thresholds: confidence, origin, and the rates on people who did not choose them."""

from collections.abc import Mapping
from typing import Any

HEADER = ("threshold", "cosine", "requested", "confidence", "measured on people who did not choose it", "chosen by")
NOT_MEASURED = "no such comparison"


def threshold_rows(verification: Mapping[str, Any], calibration: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Cells of the table, in the order of HEADER. verification, calibration: as the summaries of evaluation and gallery have them."""
    return [
        _row("two photos", "FMR", verification["threshold"], verification["fmr"]),
        _row("one face among the enrolled", "FPIR", calibration["threshold"], calibration["fpir"]),
    ]


def rate_text(rate: Mapping[str, Any] | None) -> str:
    """A rate in percent with its interval."""
    if rate is None:
        return NOT_MEASURED
    return f"{rate['value']:.3%} ({rate['low']:.3%} to {rate['high']:.3%})"


def _row(name: str, rate: str, threshold: Mapping[str, Any], measured: Mapping[str, Any] | None) -> tuple[str, ...]:
    asked = f"{rate} ≤ {threshold['rate']:.4g}"
    found = NOT_MEASURED if measured is None else f"{rate} {rate_text(measured)} of {measured['comparisons']:,}"
    return (name, f"{threshold['value']:.4f}", asked, f"{threshold['confidence']:.4g}", found, threshold["basis"])
