"""Files and headline figures of an evaluation."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from face_assets.core.files import write_bytes, write_text
from face_assets.core.tables import write_rows
from face_assets.evaluation.labelled_photos import (
    LabelledPhotos,
)
from face_assets.evaluation.stress_table import StressTable

if TYPE_CHECKING:
    from face_assets.biometrics.labelled import Labelled
    from face_assets.biometrics.verification import Evaluation


def write_pairs(directory: Path, photos: LabelledPhotos, seen: "Labelled") -> None:
    """Writes the hardest pairs, and the paths of the test photos with a face, among which they are."""
    from face_assets.evaluation import hardest_pairs as pairs

    paths = [face.path for face in photos.faces]
    pairs.write_pairs(directory / "pairs.csv", pairs.hardest_pairs(seen.embeddings, seen.found_people, paths))
    write_text(directory / "test_photos.txt", "".join(f"{path}\n" for path in paths))


def write_plots(directory: Path, figures: Mapping[str, "Evaluation"], threshold: float) -> None:
    """Writes the ROC and DET curves, and the scores of the candidate."""
    from face_assets.biometrics import plots

    trained = figures["trained"]
    curves = {name: (one.roc, one.impostor) for name, one in figures.items()}
    write_rows(directory / "roc.csv", tuple(trained.roc), zip(*trained.roc.values(), strict=True))
    rates = zip(trained.roc["far"], trained.roc["tar"], strict=True)
    write_rows(directory / "det.csv", ("fmr", "fnmr"), ((far, round(1 - tar, 8)) for far, tar in rates))
    write_bytes(directory / "roc.png", plots.roc_plot(curves))
    write_bytes(directory / "det.png", plots.det_plot(curves))
    write_bytes(directory / "scores.png", plots.histogram_plot(trained.histogram, threshold))


def write_stress_plot(directory: Path, stressed: StressTable) -> None:
    """Writes the picture of the stress table, if there is one."""
    from face_assets.biometrics.stress_plot import stress_plot

    if stressed.rows:
        write_bytes(directory / "stress.png", stress_plot(stressed.rows))


def figures_line(found: "Evaluation") -> str:
    """AUC and accuracy in a line."""
    if found.auc is None or found.accuracy is None:
        return f"AUC and accuracy are not measurable from {found.genuine} pairs of one person,"
    return f"AUC {found.auc:.4f}, accuracy {found.accuracy:.4f}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def headline(found: "Evaluation") -> dict[str, Any]:
    """The figures for tables, logs and metrics.json."""
    return {
        "auc": _rounded(found.auc),
        "accuracy": _rounded(found.accuracy),
        "accuracy_std": _rounded(found.accuracy_std),
        "eer": _rounded(found.eer),
        "tar": {f"{point.far:g}": _rounded(point.tar) for point in found.tar},
        "genuine_pairs": found.genuine,
        "impostor_pairs": found.impostor,
        "photos": found.photos,
        "failures_to_acquire": found.failures,
    }
