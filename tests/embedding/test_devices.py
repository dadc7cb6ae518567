"""CPU and GPU agree: here ONNX Runtime's CPU provider takes the place of a GPU's, against OpenVINO."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from face_assets.core import devices, onnx_runtime
from face_assets.core.devices import CPU, Device
from face_assets.core.errors import UserError
from face_assets.core.onnx_runtime import OnnxNetwork
from face_assets.embedding import features
from face_assets.embedding.device_engine import DeviceEngine, device_cosines
from face_assets.embedding.engine import Engine
from face_assets.embedding.export import export_engine
from face_assets.embedding.features import compute_features, load_features
from face_assets.embedding.onnx_embedder import write_engine
from face_assets.embedding.process_group import backend
from face_assets.embedding.training import _processors
from face_assets.embedding.weights import load_embedder
from face_assets.storage.content_store import ContentStore
from tests.embedding.conftest import draw_crops
from tests.embedding.test_onnx_embedder import BGR, CROPS, SIDE, network

GPU = Device("cuda")
KEYS = [str(i) for i in range(24)]


@pytest.fixture
def as_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime's CPU provider in the place of CUDA's."""
    monkeypatch.setitem(devices.PROVIDERS, "cuda", "CPUExecutionProvider")
    monkeypatch.setattr(onnx_runtime, "_providers", lambda device, folder: ["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    return load_embedder("scratch", 16, seed=0)


def test_a_provider_that_cannot_be_loaded_is_a_sentence(tmp_path: Path) -> None:
    onnx.save(network(), tmp_path / "one.onnx")
    with pytest.raises(UserError, match=r"CUDAExecutionProvider for cuda:0.*FACE_ASSETS_DEVICE=cpu"):
        OnnxNetwork(tmp_path / "one.onnx", GPU)


@pytest.mark.slow
def test_features_of_a_device_are_those_of_openvino(
    tmp_path: Path, crop_store: ContentStore, model: torch.nn.Module, as_gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = ContentStore(tmp_path / "cpu.sqlite"), ContentStore(tmp_path / "gpu.sqlite")
    compute_features(model, "per_image", crop_store, KEYS, here, 1)
    monkeypatch.setattr(features, "chosen", lambda: GPU)
    compute_features(model, "per_image", crop_store, KEYS, there, 1)
    assert (tmp_path / "gpu" / "network.onnx").is_file()
    np.testing.assert_allclose(load_features(there, KEYS), load_features(here, KEYS), atol=1e-5)


@pytest.mark.slow
def test_embeddings_of_a_device_are_those_of_the_cpu(tmp_path: Path, model: torch.nn.Module) -> None:
    export_engine(model, "per_image", 80, tmp_path, 16)
    crops = draw_crops(2, 3, 80)
    assert device_cosines(tmp_path, crops, CPU, 1)["min"] > 0.999999
    rows = DeviceEngine(tmp_path, CPU).rows(crops)
    np.testing.assert_allclose(rows, Engine(tmp_path / "embedder.xml", "f32", 1).rows(crops), rtol=1e-3, atol=1e-5)


def test_so_are_those_of_a_network_in_onnx(tmp_path: Path) -> None:
    onnx.save(network(), tmp_path / "embedder.onnx")
    write_engine(tmp_path, BGR, SIDE, "models/face.onnx")
    assert device_cosines(tmp_path, CROPS, CPU, 1)["min"] > 0.999999
    rows = DeviceEngine(tmp_path, CPU).rows(CROPS)
    np.testing.assert_allclose(rows[:, -1], Engine(tmp_path / "embedder.xml", "f32", 1).rows(CROPS)[:, -1], rtol=1e-4)


def test_a_training_takes_the_gpu_of_its_number_or_each_process_its_own() -> None:
    assert _processors("cuda", 1, 1) == {"accelerator": "cuda", "devices": [1]}
    assert _processors("cpu", 0, 1) == {"accelerator": "cpu", "devices": 1}
    together = _processors("cuda", 0, 4)
    assert (together["accelerator"], together["devices"], together["num_nodes"]) == ("cuda", 4, 1)
    assert (backend("cuda"), backend("cpu")) == ("cpu:gloo,cuda:nccl", "gloo"), "decisions are tensors of the CPU"
