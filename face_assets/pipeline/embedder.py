"""The steps face_embedder, embedder_evaluation and exported_embedder."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from face_assets.artifacts import Artifact
from face_assets.code_version import code_version
from face_assets.files import read_json, write_bytes, write_csv, write_json, write_text
from face_assets.fingerprint import fingerprint
from face_assets.params import Detector, Params
from face_assets.pipeline.dataset import Face, align, read_faces
from face_assets.pipeline.weights import resolve_weights
from face_assets.pipeline.workspace import Log, Workspace

if TYPE_CHECKING:
    from face_assets.embedder.evaluation import Evaluation
    from face_assets.registry.release import Release

PARITY_CROPS = 64
TRAIN_CODE = ("face_assets.embedder.training",)
EVALUATION_CODE = (
    "face_assets.embedder.evaluation",
    "face_assets.embedder.gate",
    "face_assets.embedder.pairs",
    "face_assets.embedder.features",
)
EXPORT_CODE = ("face_assets.embedder.export",)


@dataclass(frozen=True)
class Embedding:
    """How crops become vectors: which weights, fed how, on which detector's crops."""

    weights: str
    whitening: Literal["fixed", "per_image"]
    embedding_size: int
    detector: Detector
    seed: int = 0

    @staticmethod
    def of(params: Params, weights: str) -> "Embedding":
        """`weights` under the parameters of a commit."""
        return Embedding(weights, params.embedder.whitening, params.embedder.embedding_size, params.detector, params.train.seed)


def train_embedder(workspace: Workspace, commit: str, aligned: Artifact, log: Log) -> Artifact:
    """The embedder trained on the train split; resumes where a killed run stopped."""
    from face_assets.embedder.plots import learning_curve_plot
    from face_assets.embedder.training import TrainingRequest, train
    from face_assets.embedder.weights import weights_fingerprint

    params = workspace.params(commit)
    weights = resolve_weights(workspace, commit)
    start = weights_fingerprint(weights)
    settings = (params.embedder.whitening, params.embedder.embedding_size, params.train.fingerprint())
    name = fingerprint(aligned.fingerprint, start, *settings, code_version(*TRAIN_CODE))

    def fill(directory: Path) -> dict[str, Any]:
        training, validation = read_faces(aligned, "train"), read_faces(aligned, "validation")
        people = {identity: label for label, identity in enumerate(sorted({face.identity for face in (*training, *validation)}))}
        request = TrainingRequest(
            weights=weights,
            embedder=params.embedder,
            train=params.train,
            crops=workspace.crops(params.detector),
            image_size=params.detector.image_size,
            features=_feature_folder(workspace, params.detector),
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


def _feature_folder(workspace: Workspace, detector: Detector) -> Path:
    return workspace.home.features / workspace.detector_fingerprint(detector)


def embed(workspace: Workspace, how: Embedding, md5s: list[str], log: Log) -> np.ndarray:
    """Unit vectors float32 (n, d) of stored crops in f32; only crops that this trunk has not seen pass through it."""
    from face_assets.embedder.features import embed_stored
    from face_assets.embedder.weights import load_embedder

    model = load_embedder(how.weights, how.embedding_size, how.seed)
    folder = _feature_folder(workspace, how.detector)
    return embed_stored(
        model, how.whitening, how.detector.image_size, workspace.crops(how.detector), md5s, folder, workspace.settings.cores, log
    )


def evaluate_embedder(workspace: Workspace, commit: str, aligned: Artifact, embedder: Artifact, log: Log) -> Artifact:
    """Verification on the test identities, beside the starting weights and the release in production, and the gate's verdict."""
    params = workspace.params(commit)
    assignment = workspace.stages.production()
    production = assignment.release if assignment else None
    against = production.commit if production else None
    name = fingerprint(embedder.fingerprint, params.evaluation.fingerprint(), against, code_version(*EVALUATION_CODE))

    def fill(directory: Path) -> dict[str, Any]:
        from face_assets.embedder import evaluation, gate, pairs, plots

        faces = read_faces(aligned, "test")
        vectors = {
            name: (embed(workspace, Embedding.of(params, weights), [face.md5 for face in faces], log), faces)
            for name, weights in (("trained", str(embedder.directory / "embedder.pt")), ("start", resolve_weights(workspace, commit)))
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
            figures[name] = evaluation.evaluate(same_faces, np.array(_labels(faces)), params.evaluation.far, params.evaluation.seed)
            log(f"{name}: AUC {figures[name].auc:.4f}, accuracy {figures[name].accuracy:.4f} over {figures[name].pairs:,} pairs")
        verdict = gate.judge(figures["trained"], figures.get("production"), params.evaluation)
        paths = [face.path for face in faces]
        pairs.write_pairs(directory / "pairs.csv", pairs.hardest_pairs(compared["trained"], np.array(_labels(faces)), paths))
        write_text(directory / "test_photos.txt", "".join(f"{path}\n" for path in paths))
        write_json(directory / "evaluation.json", {name: found.to_json() for name, found in figures.items()})
        write_csv(directory / "roc.csv", figures["trained"].roc)
        write_bytes(directory / "roc.png", plots.roc_plot({name: found.roc for name, found in figures.items()}))
        write_bytes(directory / "scores.png", plots.histogram_plot(figures["trained"].histogram, figures["trained"].threshold))
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


def _embed_by_release(workspace: Workspace, commit: str, release: "Release", faces: list[Face], log: Log) -> tuple[np.ndarray, list[Face]]:
    """Production's embeddings of the same photos, cropped as production crops them; photos in which it finds no face fall out."""
    bundle = workspace.releases.bundle(release)
    engine = read_json(bundle / "engine.json")
    recognizer = read_json(bundle / "recognizer.json")
    detector = Detector(**recognizer["detector"])
    md5s = [face.md5 for face in faces]
    align(workspace, commit, "photos", md5s, detector, recognizer["max_megapixels"], log)
    facts = workspace.crops(detector).facts(md5s)
    found = [face for face in faces if facts[face.md5]["status"] == "face"]
    how = Embedding(str(bundle / "embedder.pt"), engine["whitening"], engine["embedding_size"], detector)
    return embed(workspace, how, [face.md5 for face in found], log), found


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


def export_embedder(workspace: Workspace, commit: str, aligned: Artifact, embedder: Artifact, log: Log) -> Artifact:
    """The embedder with its preprocessing as ONNX and OpenVINO, and how near both come to torch on real crops."""
    params = workspace.params(commit)
    name = fingerprint(embedder.fingerprint, params.export.precision, params.embedder.whitening, code_version(*EXPORT_CODE))

    def fill(directory: Path) -> dict[str, Any]:
        from face_assets.embedder.export import export_engine, parity
        from face_assets.embedder.features import load_crops
        from face_assets.embedder.weights import load_embedder

        model = load_embedder(embedder.directory / "embedder.pt", params.embedder.embedding_size, params.train.seed)
        shutil.copyfile(embedder.directory / "embedder.pt", directory / "embedder.pt")
        log("exporting to ONNX and OpenVINO")
        size, whitening = params.detector.image_size, params.embedder.whitening
        export_engine(model, whitening, size, params.export.precision, directory, embedder.summary["embedding_size"])
        faces = read_faces(aligned)
        keys = [face.md5 for face in faces[:: max(1, len(faces) // PARITY_CROPS)][:PARITY_CROPS]]
        crops = load_crops(workspace.crops(params.detector), keys)
        return {
            "precision": params.export.precision,
            "embedding_size": embedder.summary["embedding_size"],
            "parity": parity(model, whitening, directory, crops, params.export.precision),
            "parity_crops": len(crops),
            "megabytes": {file.name: round(file.stat().st_size / 1e6, 1) for file in sorted(directory.iterdir())},
        }

    return workspace.home.artifacts.make("exported_embedder", name, fill)
