"""Networks in ONNX over more images than a device has memory for."""

from typing import Any

import numpy as np
import pytest

from face_assets.core.devices import Device
from face_assets.core.errors import UserError
from face_assets.core.onnx_runtime import DeviceBatches

GPU = Device("cuda", 1)


def sums(most: int, seen: list[int]) -> Any:
    """A network that sums an image's values, on a device with memory for `most` images."""

    def run(images: np.ndarray) -> list[np.ndarray]:
        seen.append(len(images))
        if len(images) > most:
            raise RuntimeError("[ONNXRuntimeError] : 6 : Failed to allocate memory for requested buffer of size 1")
        return [images.sum(axis=(1, 2, 3), dtype=np.float32)[:, None]]

    return run


def test_a_batch_without_enough_memory_is_halved_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    images = np.arange(20, dtype=np.uint8)[:, None, None, None]
    seen: list[int] = []
    batches = DeviceBatches(sums(3, seen), GPU, batch=8)
    assert batches.infer(images).ravel().tolist() == list(range(20))
    assert seen[:3] == [8, 4, 2] and set(seen[2:]) == {2}
    assert "cuda:1 has too little memory: going on with batches of 2" in caplog.text
    assert batches.infer(images[:3]).shape == (3, 1), "the smaller batch stays"


def test_one_image_that_does_not_fit_is_a_sentence() -> None:
    with pytest.raises(UserError, match="cuda:1 has too little memory for one image"):
        DeviceBatches(sums(0, []), GPU, batch=2).infer(np.zeros((2, 1, 1, 3), np.uint8))


def test_another_error_is_not_hidden() -> None:
    def broken(images: np.ndarray) -> list[np.ndarray]:
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        DeviceBatches(broken, GPU).infer(np.zeros((2, 1, 1, 3), np.uint8))
