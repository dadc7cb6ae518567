"""The learning curve: validation figures after each epoch, and the files from which DVC and the UI read them."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from face_assets.core.files import write_json, write_text

MOST_PHOTOS = 1000  # half a million pairs suffice for the curve; the evaluation takes all
FAR = 1e-3


def verification(embeddings: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """AUC and TAR at FAR 1e-3 over all pairs of unit embeddings (n, d) with person numbers (n,); empty without both kinds of pairs."""
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


def degraded_verification(clean: np.ndarray, degraded: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """TAR at FAR 1e-3 of clean photos against degraded views of other photos, and of degraded views among themselves.

    clean, degraded: unit embeddings (n, d) of photos and of a view of each, with person numbers (n,); empty without both kinds of pairs.
    """
    scores, same = clean @ degraded.T, labels[:, None] == labels[None, :]
    genuine, impostor = scores[same & ~np.eye(len(labels), dtype=bool)], scores[~same]
    among = verification(degraded, labels)
    if not among:
        return {}
    return {"validation_tar_clean_degraded": _tar(genuine, impostor), "validation_tar_degraded": among["validation_tar"]}


def _tar(genuine: np.ndarray, impostor: np.ndarray) -> float:
    """Share of genuine scores above the threshold that FAR of the impostor scores reach."""
    accepted = int(FAR * len(impostor))
    threshold = np.partition(impostor, len(impostor) - 1 - accepted)[len(impostor) - 1 - accepted]
    return float((genuine > threshold).mean())


def evenly(count: int, most: int = MOST_PHOTOS) -> np.ndarray:
    """At most `most` numbers below `count`, evenly spread in runs of neighbours, so that photos of a person stay together."""
    if count <= most:
        return np.arange(count)
    runs = np.array_split(np.arange(count), max(1, most // 50))
    return np.concatenate([run[:50] for run in runs])[:most]


def write_curve(curve: Sequence[Mapping[str, float]], output: Path) -> None:
    """Writes output/learning_curve.csv, and output/metrics in dvclive's layout (metrics.json, plots/metrics/*.tsv)."""
    columns = list(dict.fromkeys(key for row in curve for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(curve)
    write_text(output / "learning_curve.csv", text.getvalue())
    _write_dvclive(curve, output / "metrics")


def _write_dvclive(curve: Sequence[Mapping[str, float]], directory: Path) -> None:
    """Writes dvclive's files without dvclive, which would run `dvc init` in the git repository of the current folder.

    They are written at the end, so that a resumed run leaves the same files.
    """
    last: dict[str, float] = {}
    for key in dict.fromkeys(key for row in curve for key in row if key != "epoch"):
        points = [(row["epoch"], row[key]) for row in curve if key in row]
        lines = [f"step\t{key}", *(f"{epoch}\t{value}" for epoch, value in points)]
        write_text(directory / "plots" / "metrics" / f"{key}.tsv", "\n".join(lines) + "\n")
        last[key] = points[-1][1]
    write_json(directory / "metrics.json", {**last, "step": curve[-1]["epoch"]})
