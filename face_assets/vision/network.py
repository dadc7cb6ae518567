"""MTCNN's three networks in OpenVINO, on one worker's threads."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[Any]


class Network:
    """One of the networks. Not for several threads at once."""

    def __init__(self, core: Any, file: Path, threads: int, precision: str = "f32"):
        settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
        self._request = core.compile_model(file, "CPU", settings).create_infer_request()

    def __call__(self, pixels: Floats, at_once: int) -> list[Floats]:
        """The outputs, float32 (n, …) each, for normalised pixels, float32 (n, 3, h, w), `at_once` of them at a time."""
        parts = [self._infer(pixels[start : start + at_once]) for start in range(0, len(pixels), at_once)]
        return parts[0] if len(parts) == 1 else [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]

    def _infer(self, pixels: Floats) -> list[Floats]:
        self._request.infer({0: pixels}, share_inputs=True)
        return [np.array(tensor.data) for tensor in self._request.output_tensors]
