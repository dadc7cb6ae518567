"""The plots: small enough for an event log, the same bytes for the same figures."""

import io
from functools import partial
from typing import Any

import numpy as np
import pytest
from PIL import Image

from face_assets.biometrics import plots
from face_assets.biometrics.stress_plot import stress_plot
from face_assets.biometrics.verification import evaluate
from face_assets.core.degradations import default_strengths, rows_of

KILOBYTES = 60
STRESSED = [
    {"condition": name, "strength": strength, "tar": 0.7, "tar_low": 0.6, "tar_high": 0.8, "fta": 0.1}
    for name, strength in rows_of(default_strengths())
]


def test_plots_are_small_white_and_the_same_again() -> None:
    vectors = np.random.default_rng(0).normal(size=(200, 16)).astype(np.float32)
    found = evaluate(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.arange(200) // 4, 0.01, 0)
    curve = [{"epoch": epoch, "train_loss": 1 / (epoch + 1), "validation_auc": 0.9, "learning_rate": 1e-3} for epoch in range(60)]
    for draw in (
        partial(plots.roc_plot, dict.fromkeys(("trained", "start", "production"), (found.roc, found.impostor))),
        partial(plots.histogram_plot, found.histogram, 0.5),
        partial(plots.learning_curve_plot, curve),
        partial(plots.learning_curve_plot, []),
        partial(stress_plot, {"trained": STRESSED, "production": STRESSED}),
        partial(stress_plot, {"trained": [{**row, "tar": None} for row in STRESSED]}),
    ):
        png = draw()
        assert png == draw()
        assert len(png) < KILOBYTES * 1000
        assert Image.open(io.BytesIO(png)).convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    assert len(found.roc["far"]) <= 500


def test_the_roc_ends_where_the_pairs_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 200 pairs of two people, none says anything of a rate below 1 in 200."""
    drawn: list[Any] = []

    def keep_axes(figure: Any) -> bytes:
        drawn.extend(figure.axes)
        return b""

    monkeypatch.setattr(plots, "png", keep_axes)
    curve = {"far": [0.0, 0.005, 0.1, 1.0], "tar": [0.2, 0.5, 0.9, 1.0]}
    plots.roc_plot({"trained": (curve, 200), "production": (curve, 10)})
    (axes,) = drawn
    assert axes.get_xlim() == (0.005, 1)
    assert [list(line.get_xdata()) for line in axes.lines] == [[0.005, 0.1, 1.0], [0.1, 1.0]]
