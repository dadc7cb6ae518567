"""The steps face_embedder and embedder_evaluation."""

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from face_assets.core.errors import RefusedError
from face_assets.core.files import read_json, write_bytes, write_csv, write_json, write_text
from face_assets.core.fingerprint import fingerprint
from face_assets.core.params import Detector, Params
from face_assets.core.step_versions import code_version
from face_assets.dataset.steps import align, labels_of, read_faces
from face_assets.embedding.vectors import VECTORS_CODE, Embedding, embed, engine_vectors, feature_folder, served_vectors
from face_assets.embedding.weight_sources import resolve_weights
from face_assets.evaluation.group_figures import attributes_digest, evaluate_groups
from face_assets.registry.workspace import Log, Workspace
from face_assets.storage.artifacts import Artifact

if TYPE_CHECKING:
    from face_assets.biometrics.verification import Evaluation
    from face_assets.registry.releases import Release

TRAIN_CODE = ("face_assets.embedding.training",)
EVALUATION_CODE = (
    "face_assets.biometrics.verification",
    "face_assets.evaluation.gate",
    "face_assets.evaluation.groups",
    "face_assets.evaluation.hardest_pairs",
    *VECTORS_CODE,
)
BESIDE = "trained, where production finds a face"


def train_embedder(workspace: Workspace, commit: str, aligned: Artifact, log: Log) -> Artifact:
    """The embedder trained on the train split; resumes where a killed run stopped."""
    from face_assets.biometrics.plots import learning_curve_plot
    from face_assets.embedding.distributed import train_on
    from face_assets.embedding.training import TrainingRequest
    from face_assets.embedding.weights import weights_fingerprint

    params = workspace.params(commit)
    _require_people(aligned, params)
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

    made = workspace.home.artifacts.make("face_embedder", name, fill)
    shutil.rmtree(workspace.home.training / name, ignore_errors=True)  # checkpoints, which nobody needs of what has ended
    return made


def _require_people(aligned: Artifact, params: Params) -> None:
    """Raises RefusedError where the faces found are too few to train on or, hours later, to evaluate with."""
    trained_on = {face.identity for face in read_faces(aligned, "train")}
    tested = Counter(face.identity for face in read_faces(aligned, "test"))
    if params.train.epochs and len(trained_on) < 2:
        raise RefusedError(f"The train split has faces of {len(trained_on)} people, and training needs two: add people to the photos.")
    if len(tested) < 2 or max(tested.values()) < 2:
        raise RefusedError(
            f"The test split has {tested.total()} faces of {len(tested)} people: the evaluation needs two people, and of one of them two. "
            "Add photos, or raise split.test."
        )


def evaluate_embedder(workspace: Workspace, commit: str, aligned: Artifact, exported: Artifact, log: Log) -> Artifact:
    """Verification of the exported engine on the test identities, beside the starting weights and the release in production, each in its
    precision, and the gate's verdict. All is of all test faces, whatever is in production; the comparison with it is of those in which it
    finds a face."""
    params = workspace.params(commit)
    assignment = workspace.stages.production()
    production = assignment.release if assignment else None
    against = production.commit if production else None
    asked = (params.evaluation.fingerprint(), attributes_digest(workspace, commit, params.evaluation))
    name = fingerprint(exported.fingerprint, *asked, against, code_version(*EVALUATION_CODE))

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
        beside, left_out = _beside_production(workspace, commit, production, md5s, people, vectors, log) if production else ({}, 0)
        figures |= beside
        for name, found in figures.items():
            log(f"{name}: AUC {found.auc:.4f}, accuracy {found.accuracy:.4f} over {found.pairs:,} pairs of {found.photos:,} photos")
        compared = (beside.get(BESIDE, trained), beside["production"]) if beside else None
        verdict = gate.judge(trained, compared, params.evaluation)
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
        write_csv(directory / "roc.csv", trained.roc)
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


def _beside_production(
    workspace: Workspace, commit: str, release: "Release", md5s: Sequence[str], people: np.ndarray, vectors: np.ndarray, log: Log
) -> tuple[dict[str, "Evaluation"], int]:
    """Production's figures on the test photos in which it finds a face, and how many it leaves out: where it does, BESIDE are those of
    the trained embedder's `vectors` on the same photos. No figures where the photos make no pairs."""
    from face_assets.biometrics.verification import has_pairs

    params = workspace.params(commit)
    seen = _seen_by_release(workspace, commit, release, md5s, log)
    left_out = len(md5s) - len(seen)
    if not has_pairs(people[seen]):
        return {}, left_out
    theirs = _embed_by_release(workspace, release, [md5s[row] for row in seen], log)
    figures = {"production": _measure(params, theirs, people[seen])}
    return figures | ({BESIDE: _measure(params, vectors[seen], people[seen])} if left_out else {}), left_out


def _left_out(production: "Release | None", left_out: int, photos: int, compared: bool) -> list[str]:
    """A sentence on the photos in which production finds no face."""
    if not production or not left_out:
        return []
    rest = "it is compared on the others" if compared else "the others make no pairs to compare"
    return [f"{production.version} finds no face in {left_out:,} of {photos:,} test photos: {rest}"]


def _seen_by_release(workspace: Workspace, commit: str, release: "Release", md5s: Sequence[str], log: Log) -> list[int]:
    """The places of the photos in which the release finds a face, which it crops on the way."""
    recognizer = read_json(workspace.releases.bundle(release) / "recognizer.json")
    detector, max_megapixels = Detector(**recognizer["detector"]), recognizer["max_megapixels"]
    facts = align(workspace, commit, "photos", md5s, detector, max_megapixels, log).facts
    return [row for row, md5 in enumerate(md5s) if facts[md5]["status"] == "face"]


def _embed_by_release(workspace: Workspace, release: "Release", md5s: Sequence[str], log: Log) -> np.ndarray:
    """The release's embeddings float32 (n, d) of its own crops of photos in which it finds a face."""
    bundle = workspace.releases.bundle(release)
    detector = Detector(**read_json(bundle / "recognizer.json")["detector"])
    return engine_vectors(workspace, bundle, detector, md5s, log)


def _curves(figures: Mapping[str, "Evaluation"]) -> dict[str, dict[str, list[float]]]:
    """The ROC curves by name, with the photos behind one that is not of all."""
    every = figures["trained"].photos
    return {name if found.photos == every else f"{name} ({found.photos:,} photos)": found.roc for name, found in figures.items()}


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
        "photos": found.photos,
    }
