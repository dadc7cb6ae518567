"""facenet-pytorch: imported with or without torchvision, and its detector's networks exported."""

import importlib.util
import sys
import types
import warnings
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

from face_assets.core.errors import UserError

OUTPUTS = {"pnet": ("boxes", "probabilities"), "rnet": ("boxes", "probabilities"), "onet": ("boxes", "landmarks", "probabilities")}
SIDES = {"pnet": -1, "rnet": 24, "onet": 48}
"""Sides of the inputs of MTCNN's networks, -1 for any."""
TORCHVISION = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional", "torchvision.ops", "torchvision.ops.boxes")


def import_facenet_pytorch() -> ModuleType:
    """Imports facenet_pytorch. Where torchvision is missing, modules with the two functions that the package needs for detection
    replace it, during the import alone: later they would mislead every library that looks for torchvision.

    Raises UserError when there is a torchvision that does not fit torch.
    """
    if "facenet_pytorch" in sys.modules:
        return sys.modules["facenet_pytorch"]
    if importlib.util.find_spec("torchvision") is not None:
        _check_torchvision()
        return importlib.import_module("facenet_pytorch")
    substitutes = {name: types.ModuleType(name) for name in TORCHVISION}
    substitutes["torchvision.transforms"].functional = substitutes["torchvision.transforms.functional"]  # type: ignore[attr-defined]
    substitutes["torchvision.transforms.functional"].to_tensor = _missing  # type: ignore[attr-defined]
    substitutes["torchvision.ops.boxes"].batched_nms = _batched_nms  # type: ignore[attr-defined]
    substitutes["torchvision.transforms"].__path__ = []
    substitutes["torchvision.ops"].__path__ = []
    substitutes["torchvision"].__path__ = []
    # facenet-pytorch's data sets use a class of torchvision at import
    substitutes["torchvision"].datasets = types.SimpleNamespace(ImageFolder=object)  # type: ignore[attr-defined]
    sys.modules.update(substitutes)
    try:
        return importlib.import_module("facenet_pytorch")
    finally:
        for name in TORCHVISION:
            sys.modules.pop(name, None)


def _check_torchvision() -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("torchvision")
    except (RuntimeError, ImportError, OSError) as error:
        raise UserError(
            f"torchvision {version('torchvision')} does not fit torch {version('torch')} ({str(error).splitlines()[0]}): "
            "install the pair that belongs together, or `pip uninstall torchvision`, which is not needed."
        ) from error


def _missing(*arguments: Any) -> Any:
    raise UserError("This use of facenet-pytorch needs torchvision: install the one that fits torch.")


def _batched_nms(boxes: Any, scores: Any, groups: Any, threshold: float) -> Any:
    """Greedy non-maximum suppression within each group, best first: indices, as torchvision.ops.batched_nms returns them."""
    import torch

    shifted = boxes + (groups.to(boxes) * (boxes.max() + 1))[:, None] if len(boxes) else boxes
    area = (shifted[:, 2] - shifted[:, 0]) * (shifted[:, 3] - shifted[:, 1])
    left = scores.argsort(descending=True, stable=True)
    kept = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        first = torch.maximum(shifted[best, :2], shifted[left, :2])
        last = torch.minimum(shifted[best, 2:], shifted[left, 2:])
        shared = (last - first).clamp(min=0).prod(dim=1)
        left = left[shared <= threshold * (area[best] + area[left] - shared)]
    return torch.stack(kept) if kept else torch.zeros(0, dtype=torch.int64)


def export_detector(directory: Path) -> None:
    """Writes MTCNN's networks, with the wheel's weights, as pnet, rnet and onet (.xml, .bin): float32, any size or number of inputs."""
    import openvino as ov

    for name, (network, side) in _networks().items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # OpenVINO traces with torch.jit, which warns of intended constants
            model = ov.convert_model(network, example_input=_example(side), input=[ov.PartialShape([-1, 3, side, side])])
        _pool_without_places(model)
        for number, operation in enumerate(model.get_ordered_ops()):
            operation.set_friendly_name(f"{operation.get_type_name()}_{number}")
        ov.save_model(model, directory / f"{name}.xml", compress_to_fp16=False)


def export_detector_in_onnx(directory: Path) -> None:
    """Writes the same networks as pnet.onnx, rnet.onnx and onet.onnx: the input `pixels`, outputs OUTPUTS in the same order."""
    import torch

    for name, (network, side) in _networks().items():
        axes = {0: "n"} | ({2: "h", 3: "w"} if side < 0 else {})
        outputs = OUTPUTS[name]
        of_outputs = {output: axes if side < 0 else {0: "n"} for output in outputs}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter, about tracing and its own deprecations
            torch.onnx.export(
                network,
                (_example(side),),
                directory / f"{name}.onnx",
                dynamo=False,
                opset_version=18,
                input_names=["pixels"],
                output_names=list(outputs),
                dynamic_axes={"pixels": axes, **of_outputs},
            )


def _networks() -> dict[str, tuple[Any, int]]:
    """MTCNN's networks with the wheel's weights, and the side of their input, -1 for any."""
    networks = importlib.import_module(f"{import_facenet_pytorch().__name__}.models.mtcnn")
    opened = {"pnet": networks.PNet, "rnet": networks.RNet, "onet": networks.ONet}
    return {name: (opened[name]().eval(), side) for name, side in SIDES.items()}


def _example(side: int) -> Any:
    import torch

    return torch.zeros((2, 3, 48 if side < 0 else side, 48 if side < 0 else side))


def _pool_without_places(model: Any) -> None:
    """Replaces max pooling by one that yields values alone: the indices that torch's operation yields, too, cost some percent of the time.

    Its rounding "ceil" equals torch's here, since there is no padding in which a window could begin.
    """
    from openvino import opset1

    for pool in [operation for operation in model.get_ordered_ops() if operation.get_type_name() == "MaxPool"]:
        how = pool.get_attributes()
        plain = opset1.max_pool(pool.input_value(0), how["strides"], how["pads_begin"], how["pads_end"], how["kernel"], "ceil")
        pool.output(0).replace(plain.output(0))
    model.validate_nodes_and_infer_types()
