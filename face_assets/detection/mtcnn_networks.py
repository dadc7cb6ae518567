"""MTCNN's three networks in OpenVINO, on the threads of one worker."""

from pathlib import Path
from typing import Any

import numpy.typing as npt

from face_assets.core.inference import compile_network

Floats = npt.NDArray[Any]


class Network:
    """One of the networks. Not thread-safe."""

    def __init__(self, file: Path, threads: int, precision: str = "f32"):
        self._request = compile_network(file, threads, 1, precision).create_infer_request()

    def __call__(self, pixels: Floats) -> list[Floats]:
        """The outputs, float32 (n, …) each, for normalised pixels, float32 (n, 3, h, w). They are overwritten by the next call."""
        self._request.infer({0: pixels}, share_inputs=True)
        return [tensor.data for tensor in self._request.output_tensors]
