"""The files of an engine: the OpenVINO network under names that say nothing of the process, and engine.json beside it."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from face_assets.core.files import link_or_copy, read_json, write_json
from face_assets.core.fingerprint import file_digest

if TYPE_CHECKING:
    import openvino as ov

NETWORK = ("embedder.xml", "embedder.bin")


def save_network(network: "ov.Model", directory: Path) -> str:
    """Writes embedder.xml and embedder.bin, weights as they are; returns the digest of the weights.

    OpenVINO and NNCF number what they add to a graph over the whole process: here operations are numbered by their place instead.
    """
    import openvino as ov

    for number, operation in enumerate(network.get_ordered_ops()):
        if operation.get_type_name() != "Parameter":
            operation.set_friendly_name(f"{operation.get_type_name()}_{number}")
    directory.mkdir(parents=True, exist_ok=True)
    ov.save_model(network, directory / NETWORK[0], compress_to_fp16=False)
    return file_digest(directory / NETWORK[1])


def save_engine(network: "ov.Model", source: Path, target: Path, precision: str) -> None:
    """Writes the network and an engine.json which says of it what that in `source` says, and `precision`."""
    weights = save_network(network, target)
    write_json(target / "engine.json", {**read_json(source / "engine.json"), "precision": precision, "weights": weights})


def replace_engine(engine: Path, directory: Path) -> None:
    """Moves the network and the engine.json of the folder `engine` into `directory`, over those there."""
    for name in (*NETWORK, "engine.json"):
        shutil.move(engine / name, directory / name)


def restate_engine(source: Path, target: Path, precision: str) -> None:
    """The engine of the folder `source` in `target`, to be computed in `precision`."""
    target.mkdir(parents=True, exist_ok=True)
    for name in (*NETWORK, "embedder.pt"):
        link_or_copy(source / name, target / name)
    write_json(target / "engine.json", {**read_json(source / "engine.json"), "precision": precision})
