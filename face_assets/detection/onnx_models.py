"""Detectors in ONNX that a commit or a release names: located, checked once before anything is searched, and kept by content."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from face_assets.core.errors import UserError
from face_assets.core.files import new_directory
from face_assets.core.fingerprint import content_digest, file_digest
from face_assets.core.onnx_file import inspect_onnx, require_size
from face_assets.core.params import MTCNN, Detector
from face_assets.core.step_versions import step_version
from face_assets.core.trial_process import answer_trial, try_apart
from face_assets.detection.detector import DetectorConfig
from face_assets.detection.detector_families import FAMILIES, WrongOutputsError
from face_assets.detection.onnx_detector import FILE, OnnxDetector
from face_assets.registry.model_files import model_file
from face_assets.registry.workspace import Workspace

KEY = "detector.model"
MODULE = "face_assets.detection.onnx_models"


def onnx_networks(workspace: Workspace, detector: Detector, config: DetectorConfig) -> Path:
    """The folder with a detector's file: that of the release that the settings are of, else a checked copy of the commit's file.

    Raises UserError for a file that is not there or does not fit, naming the parameter.
    """
    assert detector.origin, "settings of a commit or of a bundle, by `Detector.of`"
    if Path(detector.origin).is_absolute():
        return Path(detector.origin) / "detector"
    file = model_file(workspace, detector.origin, KEY, detector.model, "a network in ONNX (.onnx), or mtcnn", MTCNN)
    digest = content_digest(file)
    name = "-".join((digest, str(config.family), str(config.input_size), step_version("onnx_detection")))
    folder = workspace.home.root / "detectors" / name
    if not folder.is_dir():
        with new_directory(folder) as aside:
            require_size(file, KEY, detector.model)
            shutil.copyfile(file, aside / FILE)
            if file_digest(aside / FILE) != digest:
                raise UserError(f"{KEY}: {detector.model} changed while it was copied: run again.")
            subject = f"{KEY}: {detector.model}"
            try_apart(MODULE, subject, str(aside), detector.model, str(config.family), str(config.input_size))
    return folder


def require_detector(networks: Path, shown: str, config: DetectorConfig) -> None:
    """Raises UserError unless the network takes the input of the configuration, and its outputs are those of the family and finite numbers.

    shown: the file's name in the message. The network runs once on a black square and once on noise.
    """
    picture, side = inspect_onnx(networks / FILE, KEY, shown), config.input_size
    fixed = [length for length in (picture.height, picture.width) if length]
    if any(length != side for length in fixed):
        cure = f"set detector.input_size: {fixed[0]}" if len({*fixed}) == 1 else "export it for squares"
        takes = f"{picture.width or 'any'}x{picture.height or 'any'}"
        raise UserError(f"detector.input_size: {shown} takes pictures of {takes} alone, and the parameter is {side}: {cure}.")
    try:
        detector = OnnxDetector(networks, config)
        noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
        answers = [detector.outputs(square) for square in (np.zeros_like(noise), noise)]
    except Exception as error:  # OpenVINO raises RuntimeError and kinds of its own
        words = " ".join(str(error).split())[-200:]
        raise UserError(f"{KEY}: {shown} cannot be run with pictures of {side}x{side} (OpenVINO: {words}).") from error
    for outputs in answers:
        try:
            boxes, probabilities, points = FAMILIES[config.family or ""].decode(outputs, side)
        except WrongOutputsError as error:
            raise UserError(f"{KEY}: {shown} is none of the family {config.family} (detector.family): it {error}") from None
        if not all(np.isfinite(found).all() for found in (boxes, probabilities, points)):
            raise UserError(f"{KEY}: {shown} gives numbers that are not finite: its weights are damaged, or too large for 32 bits.")
        if probabilities.size and not (probabilities.min() >= -1e-3 and probabilities.max() <= 1.001):
            found = f"{probabilities.min():.3g} to {probabilities.max():.3g}"
            raise UserError(f"{KEY}: {shown} gives scores of {found} instead of probabilities: export it with its sigmoid or softmax.")


def _trial(networks: str, shown: str, family: Any, side: str) -> None:
    require_detector(Path(networks), shown, DetectorConfig(family=family, input_size=int(side)))


if __name__ == "__main__":
    answer_trial(_trial)
