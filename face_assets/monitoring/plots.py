"""Plot of a window: its histograms over the reference's, and the distance of each feature."""

import io

import numpy as np

from face_assets.evaluation.feature_histograms import BINS, FEATURES, FIRST_PROJECTION, FeatureHistograms
from face_assets.evaluation.reference import Reference
from face_assets.monitoring.drift import DriftReport

SIZE, DPI = (9.0, 4.6), 80


def drift_plot(report: DriftReport, traffic: FeatureHistograms, reference: Reference) -> bytes:
    """Returns a small PNG with a white background."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained", facecolor="white")
    panels = figure.subplots(2, 4).ravel()
    excess = {one.name: one for one in report.features}
    for axes, number in zip(panels, range(FIRST_PROJECTION), strict=False):
        feature = FEATURES[number]
        edges = feature.low + feature.width * np.arange(BINS + 1)
        for counts, colour, label in ((reference.counts[number], "0.6", "reference"), (traffic.counts[number], "C0", "window")):
            axes.stairs(counts / max(counts.sum(), 1), edges, color=colour, fill=label == "reference", label=label)
        used = np.flatnonzero(reference.counts[number] + traffic.counts[number])
        if len(used):
            axes.set_xlim(edges[max(used[0] - 1, 0)], edges[min(used[-1] + 2, BINS)])
        drifted = excess[feature.name].drifted
        axes.set_title(f"{feature.name}{' ✗' if drifted else ''}", fontsize=9, color="C3" if drifted else "black")
        axes.set_yticks([])
        axes.tick_params(labelsize=7)
    panels[0].legend(fontsize=7)
    bars = [one for one in report.features if one.psi_limit is not None]
    panels[-1].bar(range(len(bars)), [one.excess for one in bars], color=["C3" if one.drifted else "0.6" for one in bars])
    panels[-1].axhline(1.0, color="black", linewidth=0.8)
    panels[-1].set_title("distance by limit, all features", fontsize=9)
    panels[-1].set_xticks([])
    panels[-1].tick_params(labelsize=7)
    figure.suptitle(f"{report.release}, {report.window} UTC, {report.photos:,} photos: {report.verdict.replace('_', ' ')}", fontsize=10)
    output = io.BytesIO()
    figure.savefig(output, format="png", metadata={"Software": None})
    return output.getvalue()
