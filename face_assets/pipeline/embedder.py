"""The steps face_embedder and embedder_evaluation."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from face_assets.artifacts import Artifact
from face_assets.code_version import code_version
from face_assets.dataset.alignment import facts_within
from face_assets.files import read_json, write_bytes, write_csv, write_json, write_text
from face_assets.fingerprint import fingerprint
from face_assets.params import Detector
from face_assets.pipeline.dataset import Face, align, labels_of, read_faces
from face_assets.pipeline.fairness import attributes_digest, evaluate_groups
from face_assets.pipeline.vectors import VECTORS_CODE, Embedding, embed, engine_vectors, feature_folder, served_vectors
from face_assets.pipeline.weights import resolve_weights
from face_assets.pipeline.workspace import Log, Workspace

if TYPE_CHECKING:
    from face_assets.embedder.evaluation import Evaluation
    from face_assets.registry.release import Release

TRAIN_CODE = ("face_assets.embedder.training",)
EVALUATION_CODE = (
    "face_assets.embedder.evaluation",
    "face_assets.embedder.gate",
    "face_assets.embedder.fairness",
    "face_assets.embedder.pairs",
    *VECTORS_CODE,
)


def train_embedder(workspace: Workspace, commit: str, aligned: Artifact, log: Log) -> Artifact:
    """The embedder trained on the train split; resumes where a killed run stopped."""
    from face_assets.embedder.distributed import train_on
    from face_assets.embedder.plots import learning_curve_plot
    from face_assets.embedder.training import TrainingRequest
    from face_assets.embedder.weights import weights_fingerprint

    params = workspace.params(commit)
    weights = resolve_weights(workspace, commit)
    start = weights_fingerprint(weights)
    decided_by = (params.embedder.whitening, params.embedder.embedding_size, params.train.fingerprint())
    name = fingerprint(aligned.fingerprint, start, *decided_by, code_version(*TRAIN_CODE))

    def fill(directory: Path) -> dict[str, Any]:
        training, validation = read_faces(aligned, "train"), read_faces(aligned, "validation")
        people = {identity: label for label, identity in enumerate(sorted({face.identity for face in (*training, *validation)}))}
        request = TrainingRequest(
            weights=weights,
            embedder=params.embedder,
            train=params.train,
            crops=workspace.crops(params.detector),
            image_size=params.detector.image_size,
            features=feature_folder(workspace, params.detector),
            train_keys=[face.md5 for face in training],
            train_labels=labels_of(training),
            validation_keys=[face.md5 for face in validation],
            validation_labels=[people[face.identity] for face in validation],
        )
        settings = workspace.settings
        result = train_on(settings.train_processes, request, workspace.home.training / name, directory, settings.cores, log)
        if result.curve:
            (directory / "learning_curve.png").write_bytes(learning_curve_plot(result.curve))
        return {
            "weights": params.embedder.weights,
            "weights_fingerprint": start,
            "embedding_size": result.embedding_size,
            "epochs": result.epochs,
            "processes": workspace.settings.train_processes,
            "people": len({face.identity for face in training}),
            "photos": len(training),
            "seed": params.train.seed,
            "training_seconds": round(result.seconds, 1),
            "samples_a_second": round(result.samples_a_second, 1),
            "last_epoch": result.curve[-1] if result.curve else {},
        }

    return workspace.home.artifacts.make("face_embedder", name, fill)


def evaluate_embedder(workspace: Workspace, commit: str, aligned: Artifact, exported: Artifact, log: Log) -> Artifact:
    """Verification of the exported engine on the test identities, beside the starting weights and the release in production, each in its
    precision, and the gate's verdict."""
    params = workspace.params(commit)
    assignment = workspace.stages.production()
    production = assignment.release if assignment else None
    against = production.commit if production else None
    asked = (params.evaluation.fingerprint(), attributes_digest(workspace, commit, params.evaluation))
    name = fingerprint(exported.fingerprint, *asked, against, code_version(*EVALUATION_CODE))

    def fill(directory: Path) -> dict[str, Any]:
        from face_assets.embedder import evaluation, fairness, gate, pairs, plots

        faces = read_faces(aligned, "test")
        md5s = [face.md5 for face in faces]
        start = Embedding.of(params, resolve_weights(workspace, commit))
        vectors = {
            "trained": (served_vectors(workspace, params, exported, md5s, log), faces),
            "start": (embed(workspace, start, md5s, log), faces),
        }
        if production:
            vectors["production"] = _embed_by_release(workspace, commit, production, faces, log)
            seen = {face.path for face in vectors["production"][1]}
            faces = [face for face in faces if face.path in seen]
        figures = {}
        compared: dict[str, np.ndarray] = {}
        for name, (embeddings, found) in vectors.items():
            rows = {face.path: row for row, face in enumerate(found)}
            same_faces = compared[name] = embeddings[[rows[face.path] for face in faces]]
            figures[name] = evaluation.evaluate(same_faces, np.array(labels_of(faces)), params.evaluation.far, params.evaluation.seed)
            log(f"{name}: AUC {figures[name].auc:.4f}, accuracy {figures[name].accuracy:.4f} over {figures[name].pairs:,} pairs")
        verdict = gate.judge(figures["trained"], figures.get("production"), params.evaluation)
        trained, people = figures["trained"], np.array(labels_of(faces))
        fars = [point.far for point in trained.tar]
        groups = evaluate_groups(workspace, commit, params.evaluation, faces, compared["trained"], people, trained.threshold, fars)
        apart, notes = fairness.judge_gaps(groups, params.evaluation.max_group_gap)
        write_json(directory / "groups.json", fairness.to_json(groups))
        paths = [face.path for face in faces]
        pairs.write_pairs(directory / "pairs.csv", pairs.hardest_pairs(compared["trained"], people, paths))
        write_text(directory / "test_photos.txt", "".join(f"{path}\n" for path in paths))
        write_json(directory / "evaluation.json", {name: found.to_json() for name, found in figures.items()})
        write_csv(directory / "roc.csv", figures["trained"].roc)
        write_bytes(directory / "roc.png", plots.roc_plot({name: found.roc for name, found in figures.items()}))
        write_bytes(directory / "scores.png", plots.histogram_plot(figures["trained"].histogram, figures["trained"].threshold))
        return {
            "precision": exported.summary["precision"],
            "test_people": len({face.identity for face in faces}),
            "test_photos": len(faces),
            "figures": {name: _headline(found) for name, found in figures.items()},
            "verification_threshold": figures["trained"].threshold,
            "threshold_resolved": figures["trained"].threshold_resolved,
            "passed": verdict.passed and not apart,
            "reasons": [*verdict.reasons, *apart],
            "groups": fairness.to_json(groups),
            "group_notes": notes,
            "production": production.version if production else None,
        }

    return workspace.home.artifacts.make("embedder_evaluation", name, fill)


def _embed_by_release(workspace: Workspace, commit: str, release: "Release", faces: list[Face], log: Log) -> tuple[np.ndarray, list[Face]]:
    """Production's embeddings of the same photos, cropped as production crops them; photos in which it finds no face fall out."""
    bundle = workspace.releases.bundle(release)
    recognizer = read_json(bundle / "recognizer.json")
    detector = Detector(**recognizer["detector"])
    md5s = [face.md5 for face in faces]
    align(workspace, commit, "photos", md5s, detector, recognizer["max_megapixels"], log)
    facts = facts_within(workspace.crops(detector), md5s, recognizer["max_megapixels"])
    found = [face for face in faces if facts[face.md5]["status"] == "face"]
    return engine_vectors(workspace, bundle, detector, [face.md5 for face in found], log), found


def _headline(found: "Evaluation") -> dict[str, Any]:
    """The figures that tables, logs and metrics.json show."""
    return {
        "auc": round(found.auc, 6),
        "accuracy": round(found.accuracy, 6),
        "accuracy_std": round(found.accuracy_std, 6),
        "eer": round(found.eer, 6),
        "tar": {f"{point.far:g}": None if point.tar is None else round(point.tar, 6) for point in found.tar},
        "genuine_pairs": found.genuine,
        "impostor_pairs": found.impostor,
    }
