"""The step face_embedder."""

import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from face_assets.core.devices import gpu_number, training_accelerator
from face_assets.core.errors import RefusedError
from face_assets.core.fingerprint import fingerprint
from face_assets.core.params import SCRATCH, Params
from face_assets.core.step_versions import step_version
from face_assets.dataset.enough_people import LEAST_TO_TELL_APART, LEAST_TO_TRAIN, people_to_train, plan_of
from face_assets.detection.detectors import crop_store
from face_assets.detection.steps import labels_of, read_faces, read_photos
from face_assets.embedding.kept_embedder import keep_embedder
from face_assets.embedding.onnx_embedder import Pictures, onnx_engine
from face_assets.embedding.pull import EMBEDDER, pulled_towards
from face_assets.embedding.retraining import decide, recipe_of
from face_assets.embedding.vectors import feature_folder
from face_assets.embedding.weight_sources import resolve_weights
from face_assets.registry.workspace import Log, Workspace
from face_assets.storage.artifacts import Artifact


def train_embedder(workspace: Workspace, commit: str, aligned: Artifact, log: Log, asked: bool = False) -> Artifact:
    """The embedder trained on the train split, pulled towards production's embeddings where that is possible; that of production where the
    commit adds little to it; or the starting weights where nothing is trained. Resumes a killed run.

    asked: true where a training was asked for, whatever it gains. The summary has the facts of the embedder's training, and of the commit
    the decision (`reason`, and `kept`: None, or what was added since).
    """
    from face_assets.biometrics.plots import learning_curve_plot
    from face_assets.embedding.distributed import train_on
    from face_assets.embedding.training import TrainingRequest
    from face_assets.embedding.weights import weights_fingerprint

    params = workspace.params(commit)
    if not is_trained(aligned):
        return _keep(workspace, commit, aligned, params, log)
    _require_people(aligned, params)
    weights = resolve_weights(workspace, commit)
    params = _by_recipe(params, aligned)
    start = weights_fingerprint(weights)
    decided_by = (params.embedder.whitening, params.embedder.embedding_size, params.train.fingerprint())
    accelerator = training_accelerator(workspace.settings.device, workspace.settings.train_processes)
    device = [] if accelerator == "cpu" else [accelerator]  # names of a training on the CPU have none
    inputs = fingerprint(aligned.fingerprint, start, *decided_by, step_version("face_embedder"), *device)
    recipe = recipe_of(workspace, params, start)
    decision = decide(workspace, params, aligned, inputs, recipe, asked)
    of_commit = {"reason": decision.reason, "recipe": recipe, "considered": decision.key}
    if decision.kept:
        return keep_embedder(workspace, aligned, decision.kept, of_commit, log)
    log(f"training: {decision.reason}")
    towards = pulled_towards(workspace, params, inputs, weights, log)
    name = fingerprint(inputs, towards.digests.embeddings, params.train.compatibility) if towards else inputs

    def fill(directory: Path) -> dict[str, Any]:
        training, validation = read_faces(aligned, "train"), read_faces(aligned, "validation")
        people = {identity: label for label, identity in enumerate(sorted({face.identity for face in (*training, *validation)}))}
        request = TrainingRequest(
            weights=weights,
            embedder=params.embedder,
            train=params.train,
            crops=crop_store(workspace, params.detector),
            image_size=params.detector.image_size,
            features=feature_folder(workspace, params.detector),
            train_keys=[face.crop_key for face in training],
            train_labels=labels_of(training),
            validation_keys=[face.crop_key for face in validation],
            validation_labels=[people[face.identity] for face in validation],
            compatible=workspace.releases.bundle(towards) / EMBEDDER if towards else None,
            accelerator=accelerator,
            gpu=gpu_number(workspace.settings.device),
        )
        settings = workspace.settings
        result = train_on(settings.train_processes, request, workspace.home.training / name, directory, settings.cores, log)
        if result.curve:
            (directory / "learning_curve.png").write_bytes(learning_curve_plot(result.curve))
        return {
            "weights": params.embedder.weights,
            "weights_fingerprint": start,
            "training_inputs": inputs,
            "pulled_towards": towards.digests.embeddings if towards else None,
            "pulled_towards_release": towards.version if towards else None,
            "embedding_size": result.embedding_size,
            "epochs": result.epochs,
            "unfreeze": params.train.unfreeze,
            "degrade": params.train.degrade,
            "processes": workspace.settings.train_processes,
            "people": len({face.identity for face in training}),
            "photos": len(training),
            "seed": params.train.seed,
            "training_seconds": round(result.seconds, 1),
            "samples_a_second": round(result.samples_a_second, 1),
            "trained_commit": commit,
            "trained_time": workspace.repository.commit_info(commit).time,
            "last_epoch": result.curve[-1] if result.curve else {},
        }

    made = workspace.home.artifacts.make("face_embedder", name, fill)
    shutil.rmtree(workspace.home.training / name, ignore_errors=True)  # checkpoints of a training that has ended
    return replace(made, summary={**made.summary, **of_commit, "kept": None})


def _by_recipe(params: Params, aligned: Artifact) -> Params:
    """The parameters with what `train.recipe` sets for the people of the split train; random weights have no blocks to freeze."""
    if params.embedder.weights == SCRATCH:
        return params
    people = len({face.identity for face in read_faces(aligned, "train")})
    return params.model_copy(update={"train": params.train.for_people(people)})


def is_trained(aligned: Artifact) -> bool:
    """True where the plan of the data set keeps people for the training (dataset/enough_people.py)."""
    return any(photo.split == "train" for photo in read_photos(aligned))


def _keep(workspace: Workspace, commit: str, aligned: Artifact, params: Params, log: Log) -> Artifact:
    """The starting weights as they are, the same artifact for every commit. Raises RefusedError where they do not tell people apart."""
    from face_assets.embedding.altered_copies import Separation
    from face_assets.embedding.starting_weights import keep_onnx, keep_weights, require_good
    from face_assets.embedding.weights import weights_fingerprint

    plan = plan_of(read_photos(aligned), params)
    log(plan.reason)
    faces = read_faces(aligned)
    people = len({face.identity for face in faces})
    if people < LEAST_TO_TELL_APART:
        raise RefusedError(
            f"{len(faces)} faces of {people} people were found in the photos of {plan.people}, and it takes two people to tell them apart: "
            "add photos, in which the person's face is large and sharp."
        )
    weights = resolve_weights(workspace, commit)
    start = weights_fingerprint(weights)
    random = (params.embedder.embedding_size, params.train.seed) if weights == SCRATCH else ()
    name = fingerprint("kept", start, params.embedder.whitening, params.detector.image_size, *random, step_version("face_embedder"))
    engine = None
    if params.embedder.is_onnx:
        pictures = Pictures.of(params.embedder)
        engine = onnx_engine(workspace, Path(weights), pictures, params.detector.image_size, params.embedder.weights)
        name = fingerprint(name, asdict(pictures), step_version("onnx_embedder"))

    def require(measured: Mapping[str, Any]) -> None:
        cure = "take weights that fit" if engine else f"train with {people_to_train(params):,} people"
        require_good(Separation(**measured), params.embedder, params.evaluation.min_auc, cure)

    def fill(directory: Path) -> dict[str, Any]:
        crops = crop_store(workspace, params.detector)
        if engine:
            kept = keep_onnx(engine, faces, crops, directory)
        else:
            kept = keep_weights(weights, params.embedder, params.train.seed, faces, crops, directory)
        require(kept["measured"])
        return {
            "weights": params.embedder.weights,
            "weights_fingerprint": start,
            "epochs": 0,
            "people": 0,
            "photos": 0,
            "seed": params.train.seed,
            **kept,
        }

    made = workspace.home.artifacts.make("face_embedder", name, fill)
    require(made.summary["measured"])
    return replace(made, summary={**made.summary, "reason": plan.reason})


def _require_people(aligned: Artifact, params: Params) -> None:
    """Raises RefusedError if the faces are too few for the training or, hours later, for the evaluation."""
    trained_on = {face.identity for face in read_faces(aligned, "train")}
    tested = Counter(face.identity for face in read_faces(aligned, "test"))
    if len(trained_on) < LEAST_TO_TRAIN:
        raise RefusedError(f"The train split has faces of {len(trained_on)} people, and training needs two: add people to the photos.")
    testable = sum(count > 1 for count in tested.values())
    if len(tested) < LEAST_TO_TELL_APART or testable < 1:
        raise RefusedError(
            f"The test split has {tested.total()} faces of {len(tested)} people: the evaluation needs two people, and of one of them two. "
            "Add photos, or raise split.test."
        )
