"""The embedder as an OpenVINO engine."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .compiling import compile_network

BATCH = 16


def has_bf16() -> bool:
    """Whether this machine's processor computes in bfloat16."""
    import openvino as ov

    return "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class Engine:
    """Crops to unit vectors, in the precision named; a batch is computed on each thread, and one more waits, so that no thread does."""

    def __init__(self, path: Path, precision: str, threads: int):
        """path: embedder.xml; precision: f32, bf16 (f32 on a processor without it) or int8 (in the network; the rest of it in f32)."""
        import openvino as ov

        hint = "bf16" if precision == "bf16" and has_bf16() else "f32"
        self._compiled = compile_network(path, threads, threads, hint)
        self._queue = ov.AsyncInferQueue(self._compiled, threads + 1)
        self._queue.set_callback(_hand_over)
        self.size = int(self._compiled.output(0).get_partial_shape()[1].get_length())

    def embed(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """crops: uint8 (n, s, s, 3), RGB; returns float32 (n, d) of unit length, also for n = 0."""
        vectors = np.empty((len(crops), self.size), np.float32)

        def keep_at(start: int) -> Callable[[npt.NDArray[np.float32]], None]:
            def keep(batch: npt.NDArray[np.float32]) -> None:
                vectors[start : start + len(batch)] = batch

            return keep

        for start in range(0, len(crops), BATCH):
            self._queue.start_async({0: crops[start : start + BATCH]}, keep_at(start))
        self._queue.wait_all()
        return vectors

    def start(self, crops: npt.NDArray[np.uint8], take: Callable[[npt.NDArray[np.float32]], None]) -> None:
        """Starts on crops as one batch, and returns as soon as another may be started.

        `take` is called in another thread with float32 (n, d), which it must copy.
        """
        self._queue.start_async({0: crops}, take)
        self._queue.get_idle_request_id()


def _hand_over(request: Any, take: Callable[[npt.NDArray[np.float32]], None]) -> None:
    take(request.get_output_tensor(0).data)
