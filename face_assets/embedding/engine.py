"""The embedder as an OpenVINO engine."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from face_assets.core.inference import Batches, compile_network

BATCH = 16


def has_bf16() -> bool:
    """True if this machine's processor computes in bfloat16."""
    import openvino as ov

    return "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class Engine:
    """The engine that computes unit embeddings and raw qualities of crops, in one precision."""

    def __init__(self, path: Path, precision: str, threads: int):
        """path: embedder.xml; precision: f32, bf16 (f32 on a processor without it) or int8 (in the network; the rest of it in f32)."""
        hint = "bf16" if precision == "bf16" and has_bf16() else "f32"
        self._threads = threads
        self._compiled = compile_network(path, threads, threads, hint)
        self._batches = Batches(self._compiled, threads, BATCH)
        self.size = int(self._compiled.output(0).get_partial_shape()[1].get_length())
        self.has_quality = len(self._compiled.outputs) > 1
        """False for an engine of earlier versions."""

    def embed(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Unit embeddings float32 (n, d) of crops uint8 (n, s, s, 3), RGB; n may be 0."""
        return self._batches.infer(crops)

    def rows(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Rows float32 (n, d + 1) of crops uint8 (n, s, s, 3): the unit embedding, and the raw quality or NaN."""
        return _rows(self._batches.infer_all(crops))

    def embedders(self) -> list[Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]]:
        """Blocking functions from one batch uint8 (n, s, s, 3) to rows float32 (n, d + 1), one for each thread."""
        return [partial(_infer, self._compiled.create_infer_request(), len(self._compiled.outputs)) for _ in range(self._threads)]


def _infer(request: Any, outputs: int, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    request.infer({0: crops}, share_inputs=True)
    return _rows([request.get_output_tensor(number).data for number in range(outputs)])


def _rows(found: list[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Rows (n, d + 1) of the outputs: embeddings (n, d) and, unless the engine has none, raw qualities (n,)."""
    raw = found[1] if len(found) > 1 else np.full(len(found[0]), np.nan, np.float32)
    return np.concatenate([found[0], raw.reshape(-1, 1)], axis=1)
