"""The learning curve: what validation measures after each epoch, and the files that DVC and the UI read it from."""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from face_assets.files import write_text

MOST_PHOTOS = 1000  # half a million pairs place the curve well enough; the evaluation takes them all
FAR = 1e-3


def verification(embeddings: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """AUC and TAR at FAR 1e-3 over all pairs of unit embeddings (n, d) with person numbers (n,); empty without pairs of both kinds."""
    first, second = np.triu_indices(len(labels), 1)
    scores = (embeddings @ embeddings.T)[first, second]
    same = labels[first] == labels[second]
    genuine, impostor = np.sort(scores[same]), np.sort(scores[~same])
    if not len(genuine) or not len(impostor):
        return {}
    below = np.searchsorted(impostor, genuine, "left") + np.searchsorted(impostor, genuine, "right")
    accepted = int(FAR * len(impostor))
    threshold = impostor[-1 - accepted]
    return {
        "validation_auc": float(below.mean() / (2 * len(impostor))),
        "validation_tar": float((genuine > threshold).mean()),
    }


def evenly(count: int, most: int = MOST_PHOTOS) -> np.ndarray:
    """At most `most` of the numbers below `count`, in runs of neighbours where some are left out: photos of a person stay together."""
    if count <= most:
        return np.arange(count)
    runs = np.array_split(np.arange(count), max(1, most // 50))
    return np.concatenate([run[:50] for run in runs])[:most]


def write_curve(curve: Sequence[Mapping[str, float]], output: Path) -> None:
    """Writes output/learning_curve.csv, and output/metrics as dvclive does (metrics.json, plots/metrics/*.tsv) for `dvc metrics`."""
    columns = list(dict.fromkeys(key for row in curve for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(curve)
    write_text(output / "learning_curve.csv", text.getvalue())
    _write_dvclive(curve, output / "metrics")


def _write_dvclive(curve: Sequence[Mapping[str, float]], directory: Path) -> None:
    """All of it at the end, so that a run that was resumed leaves the same files; Git, DVC and Studio are left alone."""
    offline = os.environ.get("DVC_STUDIO_OFFLINE")
    os.environ["DVC_STUDIO_OFFLINE"] = "true"
    try:
        from dvclive import Live

        live: Any = Live(str(directory), save_dvc_exp=False, dvcyaml=None)
        for row in curve:
            live.step = int(row["epoch"])
            for key, value in row.items():
                if key != "epoch":
                    live.log_metric(key, value)
            live.make_summary()
        live.end()
    finally:
        if offline is None:
            del os.environ["DVC_STUDIO_OFFLINE"]
        else:
            os.environ["DVC_STUDIO_OFFLINE"] = offline
