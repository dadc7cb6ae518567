"""Networks as native models of Triton: both configurations come from one description, and whoever calls a network knows its name alone."""

import json
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from face_assets.core.errors import UserError
from face_assets.core.files import read_json, write_json
from face_assets.core.settings import load_settings
from face_assets.serving import model_repository as models
from face_assets.serving.config_text import parse, render
from face_assets.serving.containers.docker_engine import DockerEngine, _gpus
from face_assets.serving.containers.images import NVIDIA, Images, Recipe
from face_assets.serving.runtime.limits import BusyError
from face_assets.serving.runtime.native_networks import FILE, NativeNetwork, NetworkError, face_rows, native_networks
from face_assets.serving.triton_networks import Serving
from tests.serving.conftest import ROOT


def bundle(kit: Any, folder: Path, **engine: Any) -> Path:
    """A release's bundle with a file in the place of its ONNX network, which nothing here runs, and some facts of its engine."""
    shutil.copytree(kit.bundle("v1.0.0"), folder)
    (folder / "embedder.onnx").write_bytes(b"a network")
    write_json(folder / "engine.json", read_json(folder / "engine.json") | engine)
    return folder


def written(kit: Any, root: Path, how: Serving) -> dict[str, Any]:
    """The configurations of a release's networks by their short names."""
    version = models.write_models(bundle(kit, root.with_suffix(".bundle")), "v1.0.0", "1" * 40, root, ROOT / "triton_models", 2, how=how)
    stored = read_json(root / models.RECOGNIZER / str(version.number) / FILE)
    configs = {short: parse(models.configuration(root, one["model"], version.number, 1)) for short, one in stored.items()}
    assert {config.name for config in configs.values()} == {*models.networks(root, version.number)}
    for model in (models.DETECTOR, models.EMBEDDER):
        assert read_json(root / model / str(version.number) / FILE) == stored
    return configs


def test_both_configurations_come_from_one_description(kit: Any, tmp_path: Path) -> None:
    here = written(kit, tmp_path / "cpu", Serving("openvino"))
    there = written(kit, tmp_path / "gpu", Serving("tensorrt", "1,3"))
    assert list(here) == list(there) == ["embedder", "pnet", "rnet", "onet"]
    for short, on_cpu in here.items():
        on_gpu = there[short]
        assert parse(render(on_cpu)) == on_cpu
        assert [(one.name, one.data_type) for one in (*on_cpu.input, *on_cpu.output)] == [
            (one.name, one.data_type) for one in (*on_gpu.input, *on_gpu.output)
        ]
        assert [*on_cpu.input[0].dims] == [-1, *on_gpu.input[0].dims]
        assert (on_cpu.max_batch_size, on_cpu.HasField("dynamic_batching")) == (0, False), "the backend would pad every batch"
        assert (on_cpu.backend, on_gpu.backend) == ("openvino", "onnxruntime")
        (cpu,), (gpu,) = on_cpu.instance_group, on_gpu.instance_group
        assert (cpu.kind, cpu.count) == (cpu.KIND_CPU, 2)
        assert (gpu.kind, [*gpu.gpus]) == (gpu.KIND_GPU, [0, 1]), "the container numbers its own from 0"
        (warm,) = on_gpu.model_warmup
        assert warm.batch_size == on_gpu.dynamic_batching.preferred_batch_size[0]
        policy = on_gpu.dynamic_batching.default_queue_policy
        assert policy.max_queue_size >= kit.budget.max_waiting
        assert policy.default_timeout_microseconds == kit.budget.max_seconds * 1e6
    accelerated = {short for short, config in there.items() if config.optimization.execution_accelerators.gpu_execution_accelerator}
    assert accelerated == {"embedder", "rnet", "onet"}, "P-Net takes pictures of any size"
    assert there["embedder"].max_batch_size == kit.budget.max_batch


def test_a_networks_name_is_a_secret_that_no_configuration_of_a_known_model_has(kit: Any, tmp_path: Path) -> None:
    written(kit, tmp_path, Serving("onnxruntime", "all"))
    (first,) = models.versions(tmp_path)
    secret = models.networks(tmp_path, first.number)
    for model in models.MODELS:
        text = models.configuration(tmp_path, model, first.number, 1)
        assert not [name for name in secret if name in text]
    again = models.write_models(
        tmp_path.with_suffix(".bundle"), "v1.0.0", "1" * 40, tmp_path, ROOT / "triton_models", 2, True, Serving("onnxruntime", "all")
    )
    assert not {*secret} & {*models.networks(tmp_path, again.number)}
    models.sweep(tmp_path, {again.number})
    assert not [name for name in secret if (tmp_path / name).exists()]
    assert len(models.networks(tmp_path, again.number)) == 4


def test_another_backend_is_another_version(kit: Any, tmp_path: Path) -> None:
    plain = kit.write(tmp_path, "v1.0.0")
    assert not models.networks(tmp_path, plain.number)
    written(kit, tmp_path, Serving("openvino"))
    assert len(models.versions(tmp_path)) == 2
    assert kit.write(tmp_path, "v1.0.0", commit="1" * 40).number not in (plain.number, 2), "nor the plain one of the same commit"


def test_an_embedder_in_onnx_needs_openvino(kit: Any, tmp_path: Path) -> None:
    of_onnx = bundle(kit, tmp_path / "bundle", whitening="onnx")
    with pytest.raises(UserError, match="FACE_ASSETS_TRITON_BACKEND=openvino"):
        models.write_models(of_onnx, "v1.0.0", "1" * 40, tmp_path / "models", ROOT / "triton_models", 2, how=Serving("tensorrt", "0"))
    assert not models.versions(tmp_path / "models")


class Backend(ModuleType):
    """triton_python_backend_utils with a server whose network doubles, or fails with a message."""

    TRITONSERVER_MEMORY_CPU = 0

    def __init__(self, trouble: str | None = None):
        super().__init__("triton_python_backend_utils")
        self.sizes: list[int] = []
        self.PreferredMemory = lambda *place: place
        self.Tensor = lambda name, values: SimpleNamespace(name=name, values=values, as_numpy=lambda: values)
        self.get_output_tensor_by_name = lambda response, name: response.tensors[name]

        def infer(**asked: Any) -> Any:
            values = asked["inputs"][0].values
            self.sizes.append(len(values))
            tensors = {name: self.Tensor(name, values * 2.0) for name in asked["requested_output_names"]}
            error = SimpleNamespace(message=lambda: trouble)
            response = SimpleNamespace(has_error=lambda: trouble is not None, error=lambda: error, tensors=tensors)
            return SimpleNamespace(exec=lambda: response)

        self.InferenceRequest = infer


def test_a_network_is_called_in_batches_that_its_model_takes() -> None:
    backend = Backend()
    found = NativeNetwork(backend, "network_x", 1, "crops", ["embeddings"], 4)(np.arange(10.0)[:, None])
    assert backend.sizes == [4, 4, 2]
    assert found[0].ravel().tolist() == [2.0 * number for number in range(10)]
    rows = face_rows(NativeNetwork(backend, "network_x", 1, "crops", ["embeddings"], 4), np.ones((2, 3), np.uint8))
    assert rows.shape == (2, 4) and np.isnan(rows[:, -1]).all()


def test_a_full_queue_is_a_busy_server_and_no_error_names_the_network() -> None:
    for words in ("[request id: x] Exceeds maximum queue size", "Request timeout expired"):
        with pytest.raises(BusyError):
            NativeNetwork(Backend(words), "network_x", 1, "crops", ["y"], 4)(np.ones((1, 1)))
    with pytest.raises(NetworkError, match="in the network failed"):
        NativeNetwork(Backend("in network_x failed"), "network_x", 1, "crops", ["y"], 4)(np.ones((1, 1)))


def test_without_networks_json_our_models_run_them(tmp_path: Path) -> None:
    assert native_networks(sys, tmp_path, 1) == {}
    (tmp_path / FILE).write_text(json.dumps({"pnet": {"model": "m", "input": "i", "outputs": ["o"], "batch": 2}}))
    assert set(native_networks(sys, tmp_path, 1)) == {"pnet"}


def test_the_engine_is_asked_for_the_gpus_of_the_setting() -> None:
    assert _gpus(None) == []
    (every,), (some,) = _gpus("all"), _gpus("1,3")
    assert (every["Count"], every["Capabilities"]) == (-1, [["gpu"]])
    assert (some["DeviceIDs"], some["Driver"]) == (["1", "3"], "nvidia")


def test_a_native_backend_is_not_served_by_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(*_: Any) -> str:
        raise UserError("An image is not available.")

    monkeypatch.setattr(Images, "_server_image", unavailable)
    images = Images(DockerEngine("home"), Recipe(ROOT / "deploy", "base", NVIDIA, "name", "tensorrt"), tmp_path, tmp_path)
    with pytest.raises(UserError, match=r"tensorrt, which NVIDIA's image alone has.*not available"):
        images.server()


@pytest.mark.parametrize(
    ("backend", "gpus", "target", "words"),
    [
        ("onnxruntime", None, "embedded", "FACE_ASSETS_TARGET=docker"),
        ("tensorrt", None, "docker", "FACE_ASSETS_DOCKER_GPUS"),
        ("openvino", "all", "docker", "computes on the CPU"),
        ("", "0", "docker", "python computes on the CPU"),
        ("onnxruntime", "0,", "docker", "docker_gpus"),
    ],
)
def test_settings_that_do_not_fit_are_sentences(
    monkeypatch: pytest.MonkeyPatch, backend: str, gpus: str | None, target: str, words: str
) -> None:
    named = {"TRITON_BACKEND": backend, "TARGET": target, **({"DOCKER_GPUS": gpus} if gpus else {})}
    for name, value in named.items():
        monkeypatch.setenv(f"FACE_ASSETS_{name}", value)
    with pytest.raises(UserError, match=words):
        load_settings()
