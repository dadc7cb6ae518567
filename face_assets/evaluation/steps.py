"""The step embedder_evaluation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from face_assets.core.files import read_json, write_bytes, write_json, write_text
from face_assets.core.fingerprint import fingerprint
from face_assets.core.params import Detector, Params
from face_assets.core.step_versions import step_version
from face_assets.core.tables import write_rows
from face_assets.detection.steps import align, labels_of, read_faces
from face_assets.embedding.vectors import Embedding, embed, engine_vectors, served_vectors
from face_assets.embedding.weight_sources import resolve_weights
from face_assets.evaluation.group_figures import attributes_digest, evaluate_groups
from face_assets.registry.workspace import Log, Workspace
from face_assets.storage.artifacts import Artifact

if TYPE_CHECKING:
    from face_assets.biometrics.verification import Evaluation
    from face_assets.registry.releases import Release

TRAINED_FOR_COMPARISON = "trained, where production finds a face"


def evaluate_embedder(workspace: Workspace, commit: str, aligned: Artifact, exported: Artifact, log: Log) -> Artifact:
    """Evaluates the exported engine on the test identities, with the starting weights and production for comparison, and judges it.

    Figures are of all test faces. The comparison with production is of the photos in which production finds a face.
    """
    params = workspace.params(commit)
    assignment = workspace.stages.production()
    production = assignment.release if assignment else None
    against = production.commit if production else None
    asked = (params.evaluation.fingerprint(), attributes_digest(workspace, commit, params.evaluation))
    name = fingerprint(exported.fingerprint, *asked, against, step_version("embedder_evaluation"))

    def fill(directory: Path) -> dict[str, Any]:
        from face_assets.biometrics import plots
        from face_assets.evaluation import gate
        from face_assets.evaluation import groups as fairness
        from face_assets.evaluation import hardest_pairs as pairs

        faces = read_faces(aligned, "test")
        md5s, people = [face.md5 for face in faces], np.array(labels_of(faces))
        vectors = served_vectors(workspace, params, exported, md5s, log)
        start = embed(workspace, Embedding.of(params, resolve_weights(workspace, commit)), md5s, log)
        trained = _measure(params, vectors, people)
        figures = {"trained": trained, "start": _measure(params, start, people)}
        comparison, left_out = _production_figures(workspace, commit, production, md5s, people, vectors, log) if production else ({}, 0)
        figures |= comparison
        for name, found in figures.items():
            log(f"{name}: {_measured(found)} over {found.pairs:,} pairs of {found.photos:,} photos")
        compared = (comparison.get(TRAINED_FOR_COMPARISON, trained), comparison["production"]) if comparison else None
        verdict = gate.judge(trained, compared, params.evaluation, params.split.min_test_people)
        gate_notes = [*_left_out(production, left_out, len(faces), compared is not None), *verdict.notes]
        for note in gate_notes:
            log(note)
        fars = [point.far for point in trained.tar]
        groups, outside = evaluate_groups(workspace, commit, params.evaluation, faces, vectors, people, trained.threshold, fars)
        apart, notes = fairness.judge_gaps(groups, params.evaluation.max_group_gap)
        write_json(directory / "groups.json", fairness.to_json(groups))
        paths = [face.path for face in faces]
        pairs.write_pairs(directory / "pairs.csv", pairs.hardest_pairs(vectors, people, paths))
        write_text(directory / "test_photos.txt", "".join(f"{path}\n" for path in paths))
        write_json(directory / "evaluation.json", {name: found.to_json() for name, found in figures.items()})
        write_rows(directory / "roc.csv", tuple(trained.roc), zip(*trained.roc.values(), strict=True))
        write_bytes(directory / "roc.png", plots.roc_plot(_curves(figures)))
        write_bytes(directory / "scores.png", plots.histogram_plot(trained.histogram, trained.threshold))
        return {
            "precision": exported.summary["precision"],
            "test_people": trained.people,
            "test_photos": trained.photos,
            "figures": {name: _headline(found) for name, found in figures.items()},
            "verification_threshold": trained.threshold,
            "threshold_resolved": trained.threshold_resolved,
            "passed": verdict.passed and not apart,
            "reasons": [*verdict.reasons, *apart],
            "gate_notes": gate_notes,
            "left_out_beside_production": left_out,
            "groups": fairness.to_json(groups),
            "group_notes": [*outside, *notes],
            "production": production.version if production else None,
        }

    return workspace.home.artifacts.make("embedder_evaluation", name, fill)


def _measure(params: Params, embeddings: np.ndarray, people: np.ndarray) -> "Evaluation":
    from face_assets.biometrics.verification import evaluate

    return evaluate(embeddings, people, params.evaluation.far, params.evaluation.seed)


def _production_figures(
    workspace: Workspace, commit: str, release: "Release", md5s: Sequence[str], people: np.ndarray, vectors: np.ndarray, log: Log
) -> tuple[dict[str, "Evaluation"], int]:
    """Production's figures on the test photos in which it finds a face, and the number of those in which it finds none.

    Where there are such, TRAINED_FOR_COMPARISON are the figures of the trained embedder's `vectors` on the same photos. No figures where
    the photos make no pairs."""
    from face_assets.biometrics.verification import has_pairs

    params = workspace.params(commit)
    seen = _seen_by_release(workspace, commit, release, md5s, log)
    left_out = len(md5s) - len(seen)
    if not has_pairs(people[seen]):
        return {}, left_out
    theirs = _embed_by_release(workspace, release, [md5s[row] for row in seen], log)
    figures = {"production": _measure(params, theirs, people[seen])}
    return figures | ({TRAINED_FOR_COMPARISON: _measure(params, vectors[seen], people[seen])} if left_out else {}), left_out


def _left_out(production: "Release | None", left_out: int, photos: int, compared: bool) -> list[str]:
    """Sentence about the photos in which production finds no face."""
    if not production or not left_out:
        return []
    rest = "it is compared on the others" if compared else "the others make no pairs to compare"
    return [f"{production.version} finds no face in {left_out:,} of {photos:,} test photos: {rest}"]


def _seen_by_release(workspace: Workspace, commit: str, release: "Release", md5s: Sequence[str], log: Log) -> list[int]:
    """Places of the photos in which the release finds a face; their crops are stored."""
    recognizer = read_json(workspace.releases.bundle(release) / "recognizer.json")
    detector, max_megapixels = Detector(**recognizer["detector"]), recognizer["max_megapixels"]
    facts = align(workspace, commit, "photos", md5s, detector, max_megapixels, log).facts
    return [row for row, md5 in enumerate(md5s) if facts[md5]["status"] == "face"]


def _embed_by_release(workspace: Workspace, release: "Release", md5s: Sequence[str], log: Log) -> np.ndarray:
    """Embeddings float32 (n, d) by the release, of its own crops of photos in which it finds a face."""
    bundle = workspace.releases.bundle(release)
    detector = Detector(**read_json(bundle / "recognizer.json")["detector"])
    return engine_vectors(workspace, bundle, detector, md5s, log)


def _curves(figures: Mapping[str, "Evaluation"]) -> dict[str, tuple[dict[str, list[float]], int]]:
    """ROC curves and their impostor pairs by name, with the number of photos if it is not all."""
    every = figures["trained"].photos
    return {
        name if found.photos == every else f"{name} ({found.photos:,} photos)": (found.roc, found.impostor)
        for name, found in figures.items()
    }


def _measured(found: "Evaluation") -> str:
    """AUC and accuracy in a line."""
    if found.auc is None or found.accuracy is None:
        return f"AUC and accuracy are not measurable from {found.genuine} pairs of one person,"
    return f"AUC {found.auc:.4f}, accuracy {found.accuracy:.4f}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _headline(found: "Evaluation") -> dict[str, Any]:
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
    }
