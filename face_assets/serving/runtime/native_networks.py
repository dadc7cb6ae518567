"""Networks that Triton runs by a backend of its own, called from our models: each is a model of the same server with a name that no caller
knows, for Triton's gRPC has no rights for single models, and the right to embeddings is checked by ours."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from face_assets.serving.runtime.limits import BusyError

FILE = "networks.json"
FULL, LATE = "Exceeds maximum queue size", "Request timeout expired"
"""Triton's words for a request that its queue policy rejects."""


class NetworkError(Exception):
    """Failure of a network. The message does not name its model."""


class NativeNetwork:
    """A network as a function. Thread-safe."""

    def __init__(self, backend: Any, model: str, version: int, inputs: str, outputs: Sequence[str], batch: int):
        """backend: triton_python_backend_utils; model, version: in Triton; inputs, outputs: names of its tensors; batch: the largest."""
        self._backend, self._model, self._version = backend, model, version
        self._input, self._outputs, self._batch = inputs, list(outputs), batch

    def __call__(self, images: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """Returns all outputs, (n, …) each, for n >= 1 images. Raises BusyError where the network's queue is full, NetworkError."""
        parts = [self._infer(images[start : start + self._batch]) for start in range(0, len(images), self._batch)]
        return parts[0] if len(parts) == 1 else [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]

    def _infer(self, images: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        backend = self._backend
        asked = backend.InferenceRequest(
            model_name=self._model,
            model_version=self._version,
            requested_output_names=self._outputs,
            inputs=[backend.Tensor(self._input, np.ascontiguousarray(images))],
            preferred_memory=backend.PreferredMemory(backend.TRITONSERVER_MEMORY_CPU, 0),
        )
        response = asked.exec()
        if response.has_error():
            message = response.error().message()
            if FULL in message or LATE in message:
                raise BusyError("too many crops wait")
            raise NetworkError(message.replace(self._model, "the network"))
        return [backend.get_output_tensor_by_name(response, name).as_numpy() for name in self._outputs]


def native_networks(backend: Any, folder: Path, version: int) -> dict[str, NativeNetwork]:
    """Returns the networks of a version folder by their short names, such as embedder; none where our models run them."""
    file = folder / FILE
    if not file.is_file():
        return {}
    stored = json.loads(file.read_text(encoding="utf-8"))
    return {name: NativeNetwork(backend, one["model"], version, one["input"], one["outputs"], one["batch"]) for name, one in stored.items()}


def face_rows(network: NativeNetwork, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Returns rows float32 (n, d + 1) of crops uint8 (n, s, s, 3) by the embedder: the unit embedding, and the raw quality or NaN."""
    embeddings, *raw = network(crops)
    quality = raw[0].reshape(-1, 1) if raw else np.full((len(crops), 1), np.nan, np.float32)
    return np.concatenate([embeddings, quality], axis=1)
