"""Networks in ONNX on a device, by ONNX Runtime's provider for it, and run over more images than fit at once."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from face_assets.core.devices import PROVIDERS, Device, providers
from face_assets.core.errors import UserError

GPU_BATCH = 256
OUT_OF_MEMORY = ("failed to allocate memory", "out of memory", "alloc_failed", "bad_alloc")
"""Words of the errors of ONNX Runtime, CUDA, cuBLAS and cuDNN when memory runs out."""

Array = npt.NDArray[Any]
Run = Callable[[Array], list[Array]]


class OnnxNetwork:
    """A network of one input on a device. Its inferences may not overlap."""

    def __init__(self, file: Path, device: Device, threads: int = 1):
        """file: .onnx. Computes in float32, on a GPU without TF32. Raises UserError where the provider cannot be loaded."""
        import onnxruntime  # type: ignore[import-untyped]

        if PROVIDERS[device.kind] not in providers():
            raise _not_loaded(device)
        if device.is_gpu and hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls()  # CUDA and cuDNN of pip's packages, as torch brings them
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(file, options, providers=_providers(device, file.parent))
        self._session.disable_fallback()
        loaded = self._session.get_providers()[0]
        if loaded != PROVIDERS[device.kind]:  # ONNX Runtime itself goes on with the CPU
            raise _not_loaded(device)
        self._input = self._session.get_inputs()[0].name

    def __call__(self, images: Array) -> list[Array]:
        """All outputs, (n, …) each, for a batch."""
        return list(self._session.run(None, {self._input: images}))


class DeviceBatches:
    """A network over any number of images. Where the device has too little memory for a batch, half as many follow, and a log line."""

    def __init__(self, network: Run, device: Device, batch: int = GPU_BATCH):
        self._network, self._device, self.batch = network, device, batch

    def infer(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """float32 (n, …), the first output for uint8 (n, s, s, 3), n >= 1."""
        return self.infer_all(images)[0]

    def infer_all(self, images: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
        """All outputs, float32 (n, …) each, for uint8 (n, s, s, 3), n >= 1. Raises UserError where one image alone does not fit."""
        parts: list[list[Array]] = []
        start = 0
        while start < len(images):
            try:
                parts.append(self._network(images[start : start + self.batch]))
            except Exception as error:  # ONNX Runtime's kinds of error have no base of their own
                self._halve(error)
            else:
                start += self.batch
        return [np.concatenate(outputs).astype(np.float32, copy=False) for outputs in zip(*parts, strict=True)]

    def _halve(self, error: Exception) -> None:
        if not isinstance(error, MemoryError) and not any(words in str(error).lower() for words in OUT_OF_MEMORY):
            raise error
        if self.batch == 1:
            raise UserError(
                f"{self._device} has too little memory for one image: end what else uses it (`nvidia-smi` lists it), "
                "or set FACE_ASSETS_DEVICE=cpu."
            ) from error
        self.batch //= 2
        logging.getLogger(__name__).warning("%s has too little memory: going on with batches of %d", self._device, self.batch)


def _not_loaded(device: Device) -> UserError:
    return UserError(
        f"ONNX Runtime cannot load {PROVIDERS[device.kind]} for {device}, most likely because a library of CUDA, cuDNN or TensorRT is "
        "missing or of another version (docs/how-to/devices.md): install it, or set FACE_ASSETS_DEVICE=cpu."
    )


def _providers(device: Device, folder: Path) -> list[Any]:
    """ONNX Runtime's providers with their options, the device's first. folder: for TensorRT's compiled engines, which take minutes."""
    cuda = (PROVIDERS["cuda"], {"device_id": device.number, "use_tf32": 0, "arena_extend_strategy": "kSameAsRequested"})
    cache = {"trt_engine_cache_enable": True, "trt_engine_cache_path": str(folder / "tensorrt")}
    tensorrt = (PROVIDERS["tensorrt"], {"device_id": device.number, **cache})
    return {"cpu": [], "cuda": [cuda], "tensorrt": [tensorrt, cuda]}[device.kind] + [PROVIDERS["cpu"]]
