"""OpenVINO networks compiled for some of this machine's processors, and run over more than one batch."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

TRUNK = ".trunk.bin"
"""Suffix, in place of .xml, of the file with a network's first weights, where they are apart from those of its .bin."""

_first = threading.Lock()
"""OpenVINO makes its tables of types at their first use, under a lock of its own. Two threads that need them at once could deadlock on that
lock and Python's. One thread therefore makes them before any inference."""


def read_network(file: Path) -> Any:
    """The network of an .xml file with its weights: those of its .bin, or of the trunk's file, the .bin and, where there is one, the .pt,
    as if they were one file (embedding/shared_trunk.py)."""
    import openvino as ov

    if not file.with_suffix(TRUNK).is_file():
        return ov.Core().read_model(file)
    parts = [part for part in (file.with_suffix(end) for end in (TRUNK, ".bin", ".pt")) if part.is_file()]
    weights = ov.Tensor(ov.Type.u8, ov.Shape([sum(part.stat().st_size for part in parts)]))
    start, values = 0, weights.data
    for part in parts:
        with open(part, "rb", buffering=0) as content:
            while read := content.readinto(values[start:]):
                start += read
    return ov.Core().read_model(file.read_bytes(), weights)


def compile_network(network: Any, threads: int, streams: int, precision: str = "f32", **settings: Any) -> Any:
    """`network`, a model or its file, on `threads` threads that work on `streams` inferences at once; precision: f32 or bf16."""
    import openvino as ov

    with _first:
        ov.Tensor(np.zeros(1, np.float32)).element_type.to_dtype()
    settings |= {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": streams}
    if isinstance(network, Path) and network.with_suffix(TRUNK).is_file():
        network = read_network(network)
    # with pinning, every process of one thread would run on the first processor and leave the others idle
    return ov.Core().compile_model(network, "CPU", settings | {"ENABLE_CPU_PINNING": False})


class Network:
    """A network on the threads of one worker. Not thread-safe."""

    def __init__(self, file: Path, shape: Sequence[int] | None, threads: int):
        """file: .xml or .onnx; shape: of its input, where the file leaves open what is known."""
        import openvino as ov

        network = ov.Core().read_model(file)
        if shape:
            network.reshape(list(shape))
        self._request = compile_network(network, threads, 1).create_infer_request()

    def __call__(self, pixels: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """The outputs, float32 (n, …) each, for the input. They are overwritten by the next call."""
        self._request.infer({0: pixels}, share_inputs=True)
        return [tensor.data for tensor in self._request.output_tensors]


Run = Callable[[npt.NDArray[Any]], list[npt.NDArray[Any]]]
"""A network: its outputs for an input. They may be overwritten by the next call."""
Opener = Callable[[Path, Sequence[int] | None], Run]
"""Opens a network by its file and the shape of its input: on this CPU, on a GPU, or as a model of the server."""


def on_cpu(threads: int) -> Opener:
    """The opener of networks on `threads` threads of this CPU."""
    return partial(Network, threads=threads)


class Batches:
    """A compiled network over any number of images: a batch on each of its threads, and one more queued, so that no thread idles.

    Our threads wait for the inferences, not a callback of OpenVINO's AsyncInferQueue: its worker takes Python's lock once more after the
    last result. A network that is dropped then deadlocks with the worker, or is freed while the worker uses it.
    """

    def __init__(self, compiled: Any, threads: int, batch: int):
        self._batch = batch
        self._shapes = [tuple(side.get_length() for side in list(output.partial_shape)[1:]) for output in compiled.outputs]
        self._requests = [compiled.create_infer_request() for _ in range(threads + 1)]

    def infer(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """float32 (n, …), the first output for uint8 (n, s, s, 3), also for n = 0; for one caller at a time."""
        return self.infer_all(images)[0]

    def infer_all(self, images: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
        """All outputs, float32 (n, …) each, for uint8 (n, s, s, 3), also for n = 0; for one caller at a time."""
        found = [np.empty((len(images), *shape), np.float32) for shape in self._shapes]
        starts = iter(range(0, len(images), self._batch))

        def work(request: Any) -> None:
            for start in starts:
                request.infer({0: images[start : start + self._batch]}, share_inputs=True)
                for number, rows in enumerate(found):
                    rows[start : start + self._batch] = request.get_output_tensor(number).data

        with ThreadPoolExecutor(len(self._requests)) as pool:
            for _ in pool.map(work, self._requests):
                pass  # re-raises an error of an inference
        return found
