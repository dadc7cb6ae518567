"""Weights of a Keras facenet .h5 under the names of facenet-pytorch's InceptionResnetV1."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from face_assets.core.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

STEM = {
    "Conv2d_1a_3x3": "conv2d_1a",
    "Conv2d_2a_3x3": "conv2d_2a",
    "Conv2d_2b_3x3": "conv2d_2b",
    "Conv2d_3b_1x1": "conv2d_3b",
    "Conv2d_4a_3x3": "conv2d_4a",
    "Conv2d_4b_3x3": "conv2d_4b",
}
BLOCK35 = {
    "Branch_0_Conv2d_1x1": "branch0",
    "Branch_1_Conv2d_0a_1x1": "branch1.0",
    "Branch_1_Conv2d_0b_3x3": "branch1.1",
    "Branch_2_Conv2d_0a_1x1": "branch2.0",
    "Branch_2_Conv2d_0b_3x3": "branch2.1",
    "Branch_2_Conv2d_0c_3x3": "branch2.2",
}
BLOCK17 = {
    "Branch_0_Conv2d_1x1": "branch0",
    "Branch_1_Conv2d_0a_1x1": "branch1.0",
    "Branch_1_Conv2d_0b_1x7": "branch1.1",
    "Branch_1_Conv2d_0c_7x1": "branch1.2",
}
BLOCK8 = {
    "Branch_0_Conv2d_1x1": "branch0",
    "Branch_1_Conv2d_0a_1x1": "branch1.0",
    "Branch_1_Conv2d_0b_1x3": "branch1.1",
    "Branch_1_Conv2d_0c_3x1": "branch1.2",
}
MIXED_6A = {
    "Branch_0_Conv2d_1a_3x3": "branch0",
    "Branch_1_Conv2d_0a_1x1": "branch1.0",
    "Branch_1_Conv2d_0b_3x3": "branch1.1",
    "Branch_1_Conv2d_1a_3x3": "branch1.2",
}
MIXED_7A = {
    "Branch_0_Conv2d_0a_1x1": "branch0.0",
    "Branch_0_Conv2d_1a_3x3": "branch0.1",
    "Branch_1_Conv2d_0a_1x1": "branch1.0",
    "Branch_1_Conv2d_1a_3x3": "branch1.1",
    "Branch_2_Conv2d_0a_1x1": "branch2.0",
    "Branch_2_Conv2d_0b_3x3": "branch2.1",
    "Branch_2_Conv2d_1a_3x3": "branch2.2",
}


def _residual_blocks() -> dict[str, tuple[str, dict[str, str]]]:
    """Map from the Keras prefix of a residual block to (torch prefix, branches)."""
    blocks = {f"Block35_{i + 1}": (f"repeat_1.{i}", BLOCK35) for i in range(5)}
    blocks |= {f"Block17_{i + 1}": (f"repeat_2.{i}", BLOCK17) for i in range(10)}
    blocks |= {f"Block8_{i + 1}": (f"repeat_3.{i}", BLOCK8) for i in range(5)}
    return blocks | {"Block8_6": ("block8", BLOCK8)}


def keras_names() -> dict[tuple[str, str], str]:
    """Map from (Keras layer, Keras variable) to the key of the torch state_dict, for every variable of a Keras facenet."""
    units = dict(STEM)
    names: dict[tuple[str, str], str] = {}
    for layer, (block, branches) in _residual_blocks().items():
        units |= {f"{layer}_{branch}": f"{block}.{unit}" for branch, unit in branches.items()}
        names[f"{layer}_Conv2d_1x1", "kernel"] = f"{block}.conv2d.weight"
        names[f"{layer}_Conv2d_1x1", "bias"] = f"{block}.conv2d.bias"
    for layer, block, branches in (("Mixed_6a", "mixed_6a", MIXED_6A), ("Mixed_7a", "mixed_7a", MIXED_7A)):
        units |= {f"{layer}_{branch}": f"{block}.{unit}" for branch, unit in branches.items()}
    normalisations = {f"{layer}_BatchNorm": f"{unit}.bn" for layer, unit in units.items()} | {"Bottleneck_BatchNorm": "last_bn"}
    for layer, unit in units.items():
        names[layer, "kernel"] = f"{unit}.conv.weight"
    names["Bottleneck", "kernel"] = "last_linear.weight"
    for layer, unit in normalisations.items():
        for variable, key in (("gamma", "weight"), ("beta", "bias"), ("moving_mean", "running_mean"), ("moving_variance", "running_var")):
            names[layer, variable] = f"{unit}.{key}"
    return names


def read_keras(path: Path) -> "dict[str, Tensor]":
    """The state_dict of a Keras facenet, from a file of weights or of the whole model, by the names of its layers.

    A missing gamma is 1: facenet's normalisations have none. Raises UserError if `path` is not HDF5, is truncated, or has layers of
    other names.
    """
    import numpy as np
    import torch

    names = keras_names()
    layers = {layer for layer, _ in names}
    values: dict[str, np.ndarray] = {}
    for parts, value in _datasets(path):
        layer = next((part for part in reversed(parts[:-1]) if part in layers), None)
        key = names.get((layer, parts[-1].removesuffix(":0"))) if layer is not None else None
        if key is not None:
            values[key] = _torch_order(value)
    if not values:
        raise UserError(
            f"embedder.weights: {path} has no layer of a Keras facenet such as Conv2d_1a_3x3: export the model with its layer names"
        )
    for key in names.values():
        if (
            key.endswith((".bn.weight", "last_bn.weight"))
            and key not in values
            and (mean := values.get(key[: -len("weight")] + "running_mean")) is not None
        ):
            values[key] = np.ones_like(mean)
    return {key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in values.items()}


def _datasets(path: Path) -> "list[tuple[list[str], np.ndarray]]":
    """Datasets of an HDF5 file without the optimizer's state: the parts of each name, and the value."""
    import h5py

    found: list[tuple[list[str], Any]] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and not name.startswith("optimizer_weights/"):
            found.append((name.split("/"), item[()]))

    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)
    except (OSError, RuntimeError, KeyError) as error:  # h5py raises any of these for a truncated file
        raise UserError(f"embedder.weights: {path} cannot be read as HDF5 ({' '.join(str(error).split())[:200]}): copy it again") from error
    return found


def _torch_order(value: "np.ndarray") -> "np.ndarray":
    """A kernel in torch's order, (out, in, h, w) or (out, in), from Keras' (h, w, in, out) or (in, out)."""
    if value.ndim == 4:
        return value.transpose(3, 2, 0, 1)
    return value.T if value.ndim == 2 else value
