"""The files of an engine: engine.json and the OpenVINO network, whose names do not depend on the process."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from face_assets.core.files import link_or_copy, read_json, write_json
from face_assets.core.fingerprint import file_digest

if TYPE_CHECKING:
    import openvino as ov

NETWORK = ("embedder.xml", "embedder.bin")
SOURCE = "embedder.onnx"
ONNX = "onnx"
"""Input normalization (`whitening` of engine.json) of an engine of a network in ONNX, which has `channels`, `mean` and `std` instead."""
QUALITY_HEAD = "quality.npy"
"""The quality head, float32 (k, 1793). An engine of earlier versions has none."""


def engine_files(directory: Path) -> tuple[str, ...]:
    """The names of an engine's files: with the weights and the quality head, unless it is of a network in ONNX, which has neither."""
    if read_json(directory / "engine.json")["whitening"] == ONNX:
        return (SOURCE, *NETWORK, "engine.json")
    return ("embedder.pt", SOURCE, *NETWORK, QUALITY_HEAD, "engine.json")


def save_network(network: "ov.Model", directory: Path) -> str:
    """Writes embedder.xml and embedder.bin, weights as they are; returns the digest of the weights.

    OpenVINO and NNCF count the operations that they add over the whole process. Here each is named by its position, so files repeat.
    """
    import openvino as ov

    for number, operation in enumerate(network.get_ordered_ops()):
        if operation.get_type_name() != "Parameter":
            operation.set_friendly_name(f"{operation.get_type_name()}_{number}")
    directory.mkdir(parents=True, exist_ok=True)
    ov.save_model(network, directory / NETWORK[0], compress_to_fp16=False)
    return file_digest(directory / NETWORK[1])


def save_engine(network: "ov.Model", source: Path, target: Path, precision: str) -> None:
    """Writes the network and its engine.json: that of `source` with `precision` and the digest of the weights."""
    weights = save_network(network, target)
    write_json(target / "engine.json", {**read_json(source / "engine.json"), "precision": precision, "weights": weights})


def replace_engine(engine: Path, directory: Path) -> None:
    """Moves the network and engine.json of the folder `engine` into `directory`, in place of those there."""
    for name in (*NETWORK, "engine.json"):
        shutil.move(engine / name, directory / name)


def restate_engine(source: Path, target: Path, precision: str) -> None:
    """Writes the engine of the folder `source` into `target`, with another `precision` of its arithmetic."""
    target.mkdir(parents=True, exist_ok=True)
    for name in (*NETWORK, "embedder.pt"):
        if (source / name).is_file():  # a network in ONNX has no embedder.pt
            link_or_copy(source / name, target / name)
    write_json(target / "engine.json", {**read_json(source / "engine.json"), "precision": precision})
