"""The embedder's ONNX file as an engine on a device, and its agreement with the OpenVINO engine of the same release."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from face_assets.core.devices import Device
from face_assets.core.files import read_json
from face_assets.core.inference import read_network
from face_assets.core.onnx_runtime import Array, DeviceBatches, OnnxNetwork
from face_assets.embedding.engine import Engine
from face_assets.embedding.engine_files import NETWORK, ONNX, SOURCE
from face_assets.embedding.onnx_embedder import Pictures


class DeviceEngine:
    """The engine of a folder on a device, in float32: embedder.onnx with its input normalization and unit length."""

    def __init__(self, directory: Path, device: Device, threads: int = 1):
        """directory: with embedder.onnx, embedder.xml and engine.json. Raises UserError where the device cannot be used."""
        engine = read_json(directory / "engine.json")
        self._network = OnnxNetwork(directory / SOURCE, device, threads)
        self._pictures = Pictures.of_engine(engine) if engine["whitening"] == ONNX else None
        self._batches = DeviceBatches(self._outputs, device)
        self.has_quality = _outputs_of(directory / NETWORK[0]) > 1

    def rows(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Rows float32 (n, d + 1) of crops uint8 (n, s, s, 3), n >= 1: the unit embedding, and the raw quality or NaN."""
        embeddings, raw = self._batches.infer_all(crops)
        return np.concatenate([embeddings, raw.reshape(-1, 1)], axis=1)

    def _outputs(self, crops: Array) -> list[Array]:
        if self._pictures is None:
            found = self._network(crops)
            return [found[0], found[1] if self.has_quality else np.full(len(crops), np.nan, np.float32)]
        values = self._network(self._pictures.normalized(crops))[0].reshape(len(crops), -1)
        lengths = np.linalg.norm(values, axis=1)
        raw = lengths if self.has_quality else np.full(len(crops), np.nan, np.float32)
        return [values / np.maximum(lengths, 1e-12)[:, None], raw]


def device_cosines(directory: Path, crops: npt.NDArray[np.uint8], device: Device, threads: int) -> dict[str, float]:
    """Cosines of a release's embeddings on the CPU, by OpenVINO in float32, with those on a device, by ONNX Runtime: least and mean.

    crops: uint8 (n, s, s, 3), n >= 1.
    """
    here = Engine(directory / NETWORK[0], "f32", threads).embed(crops).astype(np.float64)
    there = DeviceEngine(directory, device, threads).rows(crops)[:, :-1].astype(np.float64)
    cosines = np.nan_to_num((here * there).sum(axis=1), nan=-1.0)
    return {"min": float(cosines.min()), "mean": float(cosines.mean())}


def _outputs_of(network: Path) -> int:
    return len(read_network(network).outputs)
