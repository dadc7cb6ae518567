"""Plots for the event log: small PNGs on white, readable in both of Dagster's themes."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE = (6.0, 3.6)
DPI = 90
DET_TICKS = (1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.2, 0.5)


def roc_plot(curves: Mapping[str, tuple[Mapping[str, Sequence[float]], int]]) -> bytes:
    """Plot of TAR over FAR on a logarithmic axis; curves: name → ({"far", "tar"}, impostor pairs)."""
    figure, axes = _figure("false accept rate", "true accept rate")
    for name, (curve, impostor) in curves.items():
        seen = [(far, tar) for far, tar in zip(curve["far"], curve["tar"], strict=True) if far >= least_rate(impostor)]
        axes.plot([far for far, _ in seen], [tar for _, tar in seen], label=name if seen else f"{name}: not measurable", linewidth=1.5)
    axes.set_xscale("log")
    axes.set_xlim(min(0.1, *(least_rate(impostor) for _, impostor in curves.values())), 1)
    axes.set_ylim(0, 1.01)
    axes.legend(loc="lower right")
    return png(figure)


def det_plot(curves: Mapping[str, tuple[Mapping[str, Sequence[float]], int]]) -> bytes:
    """Plot of FNMR over FMR, both on axes of normal deviates (detection error trade-off: Martin et al. 1997); curves as for `roc_plot`."""
    import numpy as np
    from scipy.stats import norm

    figure, axes = _figure("false match rate", "false non-match rate")
    for name, (curve, impostor) in curves.items():
        false_matches, misses = np.array(curve["far"]), 1 - np.array(curve["tar"])
        seen = (false_matches >= least_rate(impostor)) & (false_matches < 1) & (misses > 0)
        label = name if seen.any() else f"{name}: no curve"
        axes.plot(norm.ppf(false_matches[seen]), norm.ppf(misses[seen]), label=label, linewidth=1.5)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(norm.ppf(DET_TICKS), [f"{tick:g}" for tick in DET_TICKS])
    axes.tick_params(axis="x", labelsize=8)
    axes.legend(loc="upper right")
    return png(figure)


def least_rate(impostor: int) -> float:
    """The rate of one of `impostor` pairs, as curves are rounded."""
    return round(1 / impostor, 8)


def histogram_plot(histogram: Mapping[str, Sequence[float]], threshold: float) -> bytes:
    """Plot of the scores of genuine and impostor pairs, each as shares, and the threshold."""
    figure, axes = _figure("cosine of two photos", "share of pairs")
    for name in ("impostor", "genuine"):
        axes.step(histogram["score"], histogram[name], where="post", label=name, linewidth=1.5)
    axes.axvline(threshold, color="black", linestyle=":", label=f"threshold {threshold:.3f}")
    axes.legend()
    return png(figure)


def discard_plot(shares: Sequence[float], curves: Mapping[str, Sequence[float | None]]) -> bytes:
    """Plot of FNMR over the share of photos discarded; curves: measure → FNMR for each share, None where no pair is left."""
    figure, axes = _figure("share of the photos discarded, the worst first", "false non-match rate")
    for name, rates in curves.items():
        seen = [(share, rate) for share, rate in zip(shares, rates, strict=True) if rate is not None]
        axes.plot([share for share, _ in seen], [rate for _, rate in seen], marker=".", label=name, linewidth=1.5)
    axes.set_ylim(bottom=0)
    axes.legend()
    return png(figure)


def learning_curve_plot(curve: Sequence[Mapping[str, float]]) -> bytes:
    """Plot of every figure over the epochs: losses on the left axis, the rest on the right."""
    figure, axes = _figure("epoch", "loss")
    other = axes.twinx()
    names = [name for name in dict.fromkeys(name for row in curve for name in row) if name not in ("epoch", "learning_rate")]
    for number, name in enumerate(names):
        rows = [row for row in curve if name in row]
        place = axes if "loss" in name else other
        place.plot([row["epoch"] for row in rows], [row[name] for row in rows], color=f"C{number}", label=name, linewidth=1.5)
    handles = [handle for place in (axes, other) for handle in place.get_legend_handles_labels()[0]]
    axes.legend(handles=handles, fontsize=7)
    return png(figure)


def _figure(across: str, up: str) -> "tuple[Figure, Any]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained", facecolor="white")
    axes = figure.subplots()
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(alpha=0.3)
    return figure, axes


def png(figure: "Figure") -> bytes:
    """A figure as PNG, the same bytes for the same figure."""
    output = io.BytesIO()
    figure.savefig(output, format="png", metadata={"Software": None})
    return output.getvalue()
