"""The step exported_embedder: the embedder as an engine, in the requested precision or the next one that loses little enough."""

import shutil
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from face_assets.core.devices import chosen
from face_assets.core.files import link_or_copy, read_json, write_json
from face_assets.core.fingerprint import fingerprint
from face_assets.core.params import SCRATCH, Params
from face_assets.core.step_versions import step_version
from face_assets.detection.detectors import crop_store
from face_assets.detection.steps import Face, labels_of, read_faces
from face_assets.embedding.device_engine import device_cosines
from face_assets.embedding.engine import has_bf16
from face_assets.embedding.engine_files import engine_files
from face_assets.embedding.steps import is_trained
from face_assets.embedding.vectors import engine_vectors
from face_assets.registry.workspace import Log, Workspace
from face_assets.storage.artifacts import Artifact

if TYPE_CHECKING:
    from torch import nn

    from face_assets.biometrics.verification import Evaluation

RECORD = "export.json"
"""Facts of the export in the bundle of a release, by which a commit that keeps its embedder takes its engine, too."""
PARITY_CROPS = 32
CALIBRATION_CROPS = 256
SPEED_CROPS = 64


def export_embedder(workspace: Workspace, commit: str, aligned: Artifact, embedder: Artifact, log: Log) -> Artifact:
    """The exported embedder: ONNX and OpenVINO with preprocessing, their parity with torch in f32, and the loss by precision.

    With an embedder that is kept comes the engine of its release, if that was exported by the same parameters and code.
    """
    params = workspace.params(commit)
    asked = params.export.precision
    decided_by: list[Any] = [asked, params.embedder.whitening, step_version("export")]
    name = fingerprint(embedder.fingerprint, *decided_by)
    if asked != "f32":
        people = () if is_trained(aligned) else (aligned.fingerprint,)  # by whom the loss is measured
        asked_of = (params.export.max_tar_loss, params.evaluation.far)
        name = fingerprint(name, *asked_of, *people, has_bf16(), step_version("precision"))
        decided_by += [*asked_of, has_bf16(), step_version("precision")]
    exported_by = fingerprint(*decided_by)

    def fill(directory: Path) -> dict[str, Any]:
        from face_assets.embedding.features import load_crops
        from face_assets.embedding.onnx_embedder import parity_of_onnx

        kept = _engine_of_release(workspace, embedder, exported_by, directory)
        if kept:
            log(f"taking the engine of {embedder.summary['files_of']} with its embedder")
            return kept
        crops = load_crops(crop_store(workspace, params.detector), [face.crop_key for face in _spread(read_faces(aligned), PARITY_CROPS)])
        if params.embedder.is_onnx:
            for file in engine_files(embedder.directory):
                link_or_copy(embedder.directory / file, directory / file)
            found = parity_of_onnx(directory, crops)
        else:
            found = _export(workspace, commit, params, embedder, directory, crops, log)
        if (device := chosen()).is_gpu:
            found[device.kind] = device_cosines(directory, crops, device, workspace.settings.cores)
        trials = [] if asked == "f32" else _lower(workspace, params, aligned, directory, log)
        return {
            "precision": trials[-1]["precision"] if trials else "f32",
            "precision_asked": asked,
            "precisions": trials,
            "embedding_size": embedder.summary["embedding_size"],
            "parity": found,
            "parity_crops": len(crops),
            "exported_by": exported_by,
            "megabytes": {file.name: round(file.stat().st_size / 1e6, 1) for file in sorted(directory.iterdir())},
        }

    return workspace.home.artifacts.make("exported_embedder", name, fill)


def _export(
    workspace: Workspace, commit: str, params: Params, embedder: Artifact, directory: Path, crops: np.ndarray, log: Log
) -> dict[str, dict[str, float]]:
    """Writes the engine of an InceptionResnetV1 into the folder, and returns its parity with torch on the crops."""
    from face_assets.embedding.export import export_engine, parity
    from face_assets.embedding.weights import load_embedder, weight_files

    model = load_embedder(embedder.directory / "embedder.pt", params.embedder.embedding_size, params.train.seed)
    for name in weight_files(embedder.directory):
        link_or_copy(embedder.directory / name, directory / name)
    log("exporting to ONNX and OpenVINO")
    size, normalization = params.detector.image_size, params.embedder.whitening
    start = _starting_weights(workspace, commit, params)
    export_engine(model, normalization, size, directory, embedder.summary["embedding_size"], start)
    return parity(model, normalization, directory, crops)


def write_export_record(exported: Artifact, directory: Path) -> None:
    """Writes the facts of an export into a bundle."""
    write_json(directory / RECORD, {name: value for name, value in exported.summary.items() if name != "seconds"})


def _engine_of_release(workspace: Workspace, embedder: Artifact, exported_by: str, directory: Path) -> dict[str, Any] | None:
    """Puts the engine of the release whose embedder is kept into the folder, and returns its facts; None where it is to be exported."""
    if not embedder.summary.get("kept"):
        return None
    bundle = workspace.releases.bundle(workspace.releases.of_version(embedder.summary["files_of"]))
    facts: dict[str, Any] = read_json(bundle / RECORD) if (bundle / RECORD).is_file() else {}
    if facts.get("exported_by") != exported_by:
        return None
    for name in engine_files(bundle):
        link_or_copy(bundle / name, directory / name)
    return facts


def _starting_weights(workspace: Workspace, commit: str, params: Params) -> "nn.Module | None":
    """The starting weights, by whose head quality is measured; None where training began with none."""
    from face_assets.embedding.weight_sources import resolve_weights
    from face_assets.embedding.weights import load_embedder

    weights = resolve_weights(workspace, commit)
    return None if weights == SCRATCH else load_embedder(weights, params.embedder.embedding_size, params.train.seed)


def _spread(faces: Sequence[Face], count: int) -> Sequence[Face]:
    """About `count` faces, evenly spread over all."""
    return faces[:: max(1, len(faces) // count)][:count]


def _calibration_and_test(aligned: Artifact) -> tuple[list[Face], list[Face]]:
    """Faces by which int8 is calibrated, and those of other people by which a loss is measured: each of every second person where nothing
    is trained."""
    training, test = read_faces(aligned, "train"), read_faces(aligned, "test")
    if is_trained(aligned):
        return training, test
    chosen = set(sorted({face.identity for face in test})[::2])
    return [face for face in test if face.identity in chosen], [face for face in test if face.identity not in chosen]


def _lower(workspace: Workspace, params: Params, aligned: Artifact, directory: Path, log: Log) -> list[dict[str, Any]]:
    """Lowers the precision of the f32 engine in `directory` as far as requested and allowed. Returns the trials, the served one last."""
    from face_assets.biometrics import verification as evaluation
    from face_assets.embedding.precision import not_measurable, try_precisions

    calibration, test = _calibration_and_test(aligned)
    mated = sum(count > 1 for count in Counter(face.identity for face in test).values())
    if mated < params.split.min_test_people:
        few = f"{mated} people with two photos are too few to measure its loss (split.min_test_people {params.split.min_test_people})"
        return [{**trial.to_json(), "crops_a_second": None} for trial in not_measurable(params.export.precision, few)]
    keys, people = [face.crop_key for face in test], np.array(labels_of(test))
    lowered = _Lowered(workspace, params, calibration, directory, log)

    def evaluate(vectors: np.ndarray) -> "Evaluation":
        return evaluation.evaluate(vectors, people, params.evaluation.far, params.evaluation.seed)

    try:
        exact = engine_vectors(workspace, directory, params.detector, keys, log)
        trials = try_precisions(
            params.export.precision,
            exact,
            lambda precision: lowered.vectors(precision, keys),
            evaluate,
            params.evaluation.far,
            params.export.max_tar_loss,
        )
        for trial in trials:
            log(f"{trial.precision}: {trial.reason}")
        speeds = {trial.precision: lowered.crops_a_second(trial.precision, keys) for trial in trials if trial.value is not None}
        lowered.keep(trials[-1].precision)
    finally:
        lowered.clear()
    return [{**trial.to_json(), "crops_a_second": speeds.get(trial.precision)} for trial in trials]


class _Lowered:
    """Candidate engines of lower precision, each in a folder of its own below the exported one until one is kept."""

    def __init__(self, workspace: Workspace, params: Params, calibration: Sequence[Face], directory: Path, log: Log):
        self.workspace, self.params, self.calibration, self.directory, self.log = workspace, params, calibration, directory, log

    def vectors(self, precision: str, keys: list[str]) -> np.ndarray:
        """Embeddings of the test crops in a precision. Raises NotComputedError."""
        from face_assets.embedding.engine_files import restate_engine
        from face_assets.embedding.features import load_crops
        from face_assets.embedding.precision import NotComputedError
        from face_assets.embedding.quantization import quantize_engine

        folder = self._folder(precision)
        if precision == "bf16":
            if not has_bf16():
                raise NotComputedError("this machine's processor does not compute in bf16")
            restate_engine(self.directory, folder, "bf16")
        else:
            training = _spread(self.calibration, CALIBRATION_CROPS)
            if not training:
                raise NotComputedError("there is no training crop to calibrate int8 on")
            self.log(f"quantizing to int8, calibrated on {len(training)} crops")
            crops = load_crops(crop_store(self.workspace, self.params.detector), [face.crop_key for face in training])
            quantize_engine(self.directory, folder, crops)
        return engine_vectors(self.workspace, folder, self.params.detector, keys, self.log)

    def crops_a_second(self, precision: str, keys: list[str]) -> float:
        """The measured speed of the engine on all cores of this machine."""
        from face_assets.embedding.engine import Engine
        from face_assets.embedding.features import load_crops

        folder = self.directory if precision == "f32" else self._folder(precision)
        engine = Engine(folder / "embedder.xml", precision, self.workspace.settings.cores)
        crops = load_crops(crop_store(self.workspace, self.params.detector), keys[:SPEED_CROPS])
        engine.embed(crops[: SPEED_CROPS // 2])
        started = time.perf_counter()
        engine.embed(crops)
        return round(len(crops) / (time.perf_counter() - started), 1)

    def keep(self, precision: str) -> None:
        """Replaces the f32 engine by that of this precision."""
        from face_assets.embedding.engine_files import replace_engine

        if precision != "f32":
            replace_engine(self._folder(precision), self.directory)

    def clear(self) -> None:
        """Deletes the folders of all candidates."""
        for precision in ("int8", "bf16"):
            shutil.rmtree(self._folder(precision), ignore_errors=True)

    def _folder(self, precision: str) -> Path:
        return self.directory / precision
