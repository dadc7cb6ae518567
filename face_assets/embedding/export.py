"""Export of the embedder to ONNX, and from it to OpenVINO, with input normalization and unit length inside the graph."""

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from face_assets.core.files import write_bytes, write_json
from face_assets.core.inference import compile_network
from face_assets.embedding.engine_files import QUALITY_HEAD, save_network
from face_assets.embedding.shared_trunk import split_onnx

if TYPE_CHECKING:
    from torch import Tensor, nn

    from face_assets.embedding.network import InputNormalization

INPUT, OUTPUT, QUALITY = "crops", "embeddings", "quality"
BATCH = 16
OPSET = 18


def export_engine(
    model: "nn.Module",
    normalization: "InputNormalization",
    image_size: int,
    output: Path,
    embedding_size: int,
    start: "nn.Module | None" = None,
) -> None:
    """Writes the network in ONNX and for OpenVINO, quality.npy and engine.json into `output`: the same bytes for the same models.

    start: the starting weights, whose head measures the quality; without it, `model` does.

    crops: uint8 (n, image_size, image_size, 3), RGB -> embeddings: float32 (n, embedding_size) of unit length, and quality: float32 (n,),
    not calibrated, for any n. All in float32.
    """
    import openvino as ov

    from face_assets.embedding.network import quality_head

    quality = quality_head(start or model)
    head = io.BytesIO()
    np.save(head, quality.numpy())
    write_bytes(output / QUALITY_HEAD, head.getvalue())
    write_bytes(output / "embedder.onnx", _onnx(model, quality, normalization, image_size))
    engine = {
        "precision": "f32",
        "embedding_size": embedding_size,
        "image_size": image_size,
        "whitening": normalization,
        "weights": save_network(ov.convert_model(output / "embedder.onnx"), output),
    }
    split_onnx(output / "embedder.onnx")
    write_json(output / "engine.json", engine)


def parity(
    model: "nn.Module", normalization: "InputNormalization", engine_directory: Path, crops: np.ndarray
) -> dict[str, dict[str, float]]:
    """Cosines of torch's embeddings with those of ONNX Runtime and OpenVINO, in float32.

    crops: uint8 (n, s, s, 3), n >= 1. Keys onnxruntime and openvino, each with min and mean. Raises ValueError without crops.
    """
    import onnxruntime  # type: ignore[import-untyped]
    import torch

    from face_assets.embedding.network import ServedEmbedder

    if not len(crops):
        raise ValueError("parity needs at least one crop")
    served = ServedEmbedder(model, normalization).eval()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(engine_directory / "embedder.onnx", options, providers=["CPUExecutionProvider"])
    compiled = compile_network(engine_directory / "embedder.xml", torch.get_num_threads(), streams=1)
    cosines: dict[str, list[np.ndarray]] = {"onnxruntime": [], "openvino": []}
    for start in range(0, len(crops), BATCH):
        batch = np.ascontiguousarray(crops[start : start + BATCH])
        with torch.inference_mode():
            expected = served(torch.from_numpy(batch)).numpy()
        cosines["onnxruntime"].append(_cosine(expected, session.run([OUTPUT], {INPUT: batch})[0]))
        cosines["openvino"].append(_cosine(expected, compiled(batch)[0]))
    every = {name: np.concatenate(parts) for name, parts in cosines.items()}
    return {name: {"min": float(found.min()), "mean": float(found.mean())} for name, found in every.items()}


def _cosine(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cosines (n,) between the rows of two arrays (n, d), in float64; -1 for an embedding that is not finite."""
    a, b = first.astype(np.float64), second.astype(np.float64)
    cosines = (a * b).sum(1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12)
    return np.where(np.isfinite(cosines), cosines, -1.0)


def _onnx(model: "nn.Module", quality: "Tensor", normalization: "InputNormalization", image_size: int) -> bytes:
    """The bytes of the ONNX file. The tracing exporter is seven times as fast on this network as the compiling one."""
    import torch

    from face_assets.embedding.network import ServedFaces

    example = torch.zeros((2, image_size, image_size, 3), dtype=torch.uint8)
    written = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about tracing and its own deprecations
        torch.onnx.export(
            ServedFaces(model, quality, normalization).eval(),
            (example,),
            written,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=OPSET,
            dynamic_axes={name: {0: "n"} for name in (INPUT, OUTPUT, QUALITY)},
            input_names=[INPUT],
            output_names=[OUTPUT, QUALITY],
        )
    return written.getvalue()
