"""The steps face_embedder, embedder_evaluation and exported_embedder."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from face_assets.artifacts import Artifact
from face_assets.code_version import code_version
from face_assets.content_store import ContentStore
from face_assets.errors import UserError
from face_assets.files import write_bytes, write_json
from face_assets.fingerprint import fingerprint
from face_assets.params import Params
from face_assets.pipeline.dataset import Face, align, read_faces
from face_assets.pipeline.weights import resolve_weights
from face_assets.pipeline.workspace import Log, Workspace

if TYPE_CHECKING:
    from face_assets.embedder.evaluation import Evaluation
    from face_assets.registry.release import Release

PARITY_CROPS = 64


def train_embedder(workspace: Workspace, commit: str, aligned: Artifact, log: Log) -> Artifact:
    """The embedder trained on the train split; resumes where a killed run stopped."""
    from face_assets.embedder.plots import learning_curve_plot
    from face_assets.embedder.training import TrainingRequest, train
    from face_assets.embedder.weights import weights_fingerprint

    params = workspace.params(commit)
    weights = resolve_weights(workspace, commit)
    start = weights_fingerprint(weights)
    settings = (params.embedder.whitening, params.embedder.embedding_size, params.train.fingerprint())
    name = fingerprint(aligned.fingerprint, start, *settings, code_version("face_assets.embedder.training"))

    def fill(directory: Path) -> dict[str, Any]:
        training, validation = read_faces(aligned, "train"), read_faces(aligned, "validation")
        people = {identity: label for label, identity in enumerate(sorted({face.identity for face in (*training, *validation)}))}
        request = TrainingRequest(
            weights=weights,
            embedder=params.embedder,
            train=params.train,
            crops=workspace.crops(params.detector),
            image_size=params.detector.image_size,
            features=_feature_folder(workspace, params),
            train_keys=[face.md5 for face in training],
            train_labels=_labels(training),
            validation_keys=[face.md5 for face in validation],
            validation_labels=[people[face.identity] for face in validation],
        )
        result = train(request, workspace.home.training / name, directory, workspace.settings.cores, log)
        if result.curve:
            (directory / "learning_curve.png").write_bytes(learning_curve_plot(result.curve))
        return {
            "weights": params.embedder.weights,
            "weights_fingerprint": start,
            "embedding_size": result.embedding_size,
            "epochs": result.epochs,
            "people": len({face.identity for face in training}),
            "photos": len(training),
            "seed": params.train.seed,
            "training_seconds": round(result.seconds, 1),
            "samples_a_second": round(result.samples_a_second, 1),
            "last_epoch": result.curve[-1] if result.curve else {},
        }

    return workspace.home.artifacts.make("face_embedder", name, fill)


def _labels(faces: list[Face]) -> list[int]:
    people = {identity: label for label, identity in enumerate(sorted({face.identity for face in faces}))}
    return [people[face.identity] for face in faces]


def _feature_folder(workspace: Workspace, params: Params) -> Path:
    return workspace.home.features / workspace.detector_fingerprint(params.detector)


def embed(workspace: Workspace, params: Params, weights: str, md5s: list[str], log: Log) -> np.ndarray:
    """Unit vectors float32 (n, d) of stored crops in f32; only crops not seen before by this trunk pass through it."""
    from face_assets.embedder.features import embed_stored
    from face_assets.embedder.weights import load_embedder

    model = load_embedder(weights, params.embedder.embedding_size, params.train.seed)
    store = workspace.crops(params.detector)
    folder = _feature_folder(workspace, params)
    return embed_stored(model, params.embedder.whitening, params.detector.image_size, store, md5s, folder, workspace.settings.cores, log)


@dataclass(frozen=True)
class Compared:
    """One embedder's figures on the test pairs, under the name that plots and tables use."""

    name: str
    evaluation: "Evaluation"


def evaluate_embedder(workspace: Workspace, commit: str, aligned: Artifact, embedder: Artifact, log: Log) -> Artifact:
    """Verification on the test identities, beside the starting weights and the release in production, and the gate's verdict."""
    params = workspace.params(commit)
    assignment = workspace.stages.production()
    production = assignment.release if assignment else None
    code = code_version("face_assets.embedder.evaluation", "face_assets.embedder.gate", "face_assets.embedder.features")
    against = production.commit if production else None
    name = fingerprint(embedder.fingerprint, params.evaluation.fingerprint(), against, code)

    def fill(directory: Path) -> dict[str, Any]:
        from face_assets.embedder import evaluation, gate, plots

        faces = read_faces(aligned, "test")
        crops = [(embedder.directory / "embedder.pt", "trained"), (Path(resolve_weights(workspace, commit)), "start")]
        vectors = {name: (embed(workspace, params, str(weights), [face.md5 for face in faces], log), faces) for weights, name in crops}
        if production:
            vectors["production"] = _embed_by_release(workspace, commit, production, faces, log)
            shared = {face.path for face in vectors["production"][1]}
            faces = [face for face in faces if face.path in shared]
        figures = {}
        for name, (embeddings, found) in vectors.items():
            place = {face.path: row for row, face in enumerate(found)}
            rows = embeddings[[place[face.path] for face in faces]]
            figures[name] = evaluation.evaluate(rows, np.array(_labels(faces)), params.evaluation.far, params.evaluation.seed)
            log(f"{name}: AUC {figures[name].auc:.4f}, accuracy {figures[name].accuracy:.4f}")
        verdict = gate.judge(figures["trained"], figures.get("production"), params.evaluation)
        write_json(directory / "evaluation.json", {name: json.loads(found.to_json()) for name, found in figures.items()})
        write_bytes(directory / "roc.png", plots.roc_plot({name: found.roc for name, found in figures.items()}))
        write_bytes(directory / "scores.png", plots.histogram_plot(figures["trained"]))
        return {
            "test_people": len({face.identity for face in faces}),
            "test_photos": len(faces),
            "figures": {name: _headline(found) for name, found in figures.items()},
            "verification_threshold": figures["trained"].threshold,
            "threshold_resolved": figures["trained"].threshold_resolved,
            "passed": verdict.passed,
            "reasons": verdict.reasons,
            "production": production.version if production else None,
        }

    return workspace.home.artifacts.make("embedder_evaluation", name, fill)
