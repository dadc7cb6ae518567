"""The embedder as an OpenVINO engine."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

BATCH = 16


def has_bf16() -> bool:
    """Whether this machine's processor computes in bfloat16."""
    import openvino as ov

    return "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class Engine:
    """Crops to unit vectors, in the precision named; several batches are in flight at once, one for each thread."""

    def __init__(self, path: Path, precision: str, threads: int):
        """path: embedder.xml; precision: f32, bf16 (f32 on a processor without it) or int8 (in the network; the rest of it in f32)."""
        import openvino as ov

        hint = "bf16" if precision == "bf16" and has_bf16() else "f32"
        settings = {"INFERENCE_PRECISION_HINT": hint, "NUM_STREAMS": threads, "INFERENCE_NUM_THREADS": threads}
        self._compiled = ov.Core().compile_model(path, "CPU", settings)
        self._queue = ov.AsyncInferQueue(self._compiled, threads)
        self.size = int(self._compiled.output(0).get_partial_shape()[1].get_length())

    def embed(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """crops: uint8 (n, s, s, 3), RGB; returns float32 (n, d) of unit length, also for n = 0."""
        vectors = np.empty((len(crops), self.size), np.float32)

        def keep(request: object, start: int) -> None:
            batch = request.get_output_tensor(0).data  # type: ignore[attr-defined]
            vectors[start : start + len(batch)] = batch

        self._queue.set_callback(keep)
        for start in range(0, len(crops), BATCH):
            self._queue.start_async({0: crops[start : start + BATCH]}, start)
        self._queue.wait_all()
        return vectors
