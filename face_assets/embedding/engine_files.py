"""The files of an engine: engine.json and the OpenVINO network, whose names do not depend on the process.

Weights of the trunk lie in files of their own (shared_trunk.py); those of earlier versions have them in embedder.bin and embedder.onnx.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from face_assets.core.files import link_or_copy, read_json, write_json
from face_assets.core.fingerprint import file_digest
from face_assets.embedding.shared_trunk import split_network
from face_assets.embedding.weights import weight_files

if TYPE_CHECKING:
    import openvino as ov

NETWORK = ("embedder.xml", "embedder.bin")
TRUNK_OF_NETWORK = "embedder.trunk.bin"
SOURCE = "embedder.onnx"
TRUNK_OF_SOURCE = "embedder.trunk.onnx.bin"
ONNX = "onnx"
"""Input normalization (`whitening` of engine.json) of an engine of a network in ONNX, which has `channels`, `mean` and `std` instead."""
QUALITY_HEAD = "quality.npy"
"""The quality head, float32 (k, 1793). An engine of earlier versions has none."""


def engine_files(directory: Path) -> tuple[str, ...]:
    """The names of an engine's files: with the weights and the quality head, unless it is of a network in ONNX, which has neither."""
    if read_json(directory / "engine.json")["whitening"] == ONNX:
        return (SOURCE, *network_files(directory), "engine.json")
    source = [name for name in (SOURCE, TRUNK_OF_SOURCE) if (directory / name).is_file()]
    return (*weight_files(directory), *source, *network_files(directory), QUALITY_HEAD, "engine.json")


def network_files(directory: Path) -> tuple[str, ...]:
    """The names of the OpenVINO network's files."""
    return (*NETWORK, TRUNK_OF_NETWORK) if (directory / TRUNK_OF_NETWORK).is_file() else NETWORK


def data_of_source(source: Path) -> list[str]:
    """The names of the files that the network in ONNX refers to; none where all is in itself."""
    directory = source.parent
    return [TRUNK_OF_SOURCE, *weight_files(directory)[:1]] if (directory / TRUNK_OF_SOURCE).is_file() else []


def files_with_weights(directory: Path) -> list[str]:
    """The names of all files that the OpenVINO network is read from: of a network whose trunk is apart, the state_dict too."""
    names = network_files(directory)
    return [*names, *(name for name in weight_files(directory)[:1] if TRUNK_OF_NETWORK in names)]


def network_digests(directory: Path) -> list[str]:
    """The digests of the files that the OpenVINO network is read from."""
    return [file_digest(directory / name) for name in files_with_weights(directory)]


def save_network(network: "ov.Model", directory: Path) -> str:
    """Writes embedder.xml, and embedder.bin and embedder.trunk.bin, weights as they are; returns the digest of the weights.

    OpenVINO and NNCF count the operations that they add over the whole process. Here each is named by its position, so files repeat.
    """
    import openvino as ov

    for number, operation in enumerate(network.get_ordered_ops()):
        if operation.get_type_name() != "Parameter":
            operation.set_friendly_name(f"{operation.get_type_name()}_{number}")
    directory.mkdir(parents=True, exist_ok=True)
    ov.save_model(network, directory / NETWORK[0], compress_to_fp16=False)
    weights = file_digest(directory / NETWORK[1])
    split_network(network, directory / NETWORK[0])
    return weights


def save_engine(network: "ov.Model", source: Path, target: Path, precision: str) -> None:
    """Writes the network and its engine.json: that of `source` with `precision` and the digest of the weights."""
    target.mkdir(parents=True, exist_ok=True)
    for name in weight_files(source):
        link_or_copy(source / name, target / name)
    weights = save_network(network, target)
    write_json(target / "engine.json", {**read_json(source / "engine.json"), "precision": precision, "weights": weights})


def replace_engine(engine: Path, directory: Path) -> None:
    """Moves the network and engine.json of the folder `engine` into `directory`, in place of those there."""
    (directory / TRUNK_OF_NETWORK).unlink(missing_ok=True)
    for name in (*network_files(engine), "engine.json"):
        shutil.move(engine / name, directory / name)


def restate_engine(source: Path, target: Path, precision: str) -> None:
    """Writes the engine of the folder `source` into `target`, with another `precision` of its arithmetic."""
    target.mkdir(parents=True, exist_ok=True)
    for name in (*network_files(source), *weight_files(source)):  # a network in ONNX has no embedder.pt
        link_or_copy(source / name, target / name)
    write_json(target / "engine.json", {**read_json(source / "engine.json"), "precision": precision})
