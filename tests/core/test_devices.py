"""The device of the settings: what is there, a sentence for what is not, and names of results that a CPU leaves as they were."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from face_assets.core import devices
from face_assets.core.devices import CPU, Device, chosen, resolve, result_facts, training_accelerator
from face_assets.core.errors import UserError
from face_assets.core.step_libraries import other_libraries
from face_assets.core.step_versions import step_version

CUDA = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    """Lets each test choose its device; the functions keep it for the process."""
    for kept in (chosen, result_facts):
        kept.cache_clear()
    yield
    for kept in (chosen, result_facts):
        kept.cache_clear()


def machine(monkeypatch: pytest.MonkeyPatch, gpus: int, has: list[str] = CUDA) -> None:
    """Makes this machine one with GPUs, and ONNX Runtime one with these providers."""
    monkeypatch.setattr(devices, "gpu_count", lambda: gpus)
    monkeypatch.setattr(devices, "providers", lambda: has)


def test_auto_is_a_gpu_that_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 0)
    assert resolve("auto") == CPU
    machine(monkeypatch, 2)
    assert resolve("auto") == Device("cuda", 0)
    machine(monkeypatch, 2, ["CPUExecutionProvider"])
    assert resolve("auto") == CPU


def test_a_named_device_is_that_device(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 2)
    assert [str(resolve(asked)) for asked in ("cpu", "cuda", "cuda:1", "tensorrt:1")] == ["cpu", "cuda:0", "cuda:1", "tensorrt:1"]
    assert resolve("tensorrt:1").for_any_shape == Device("cuda", 1)


@pytest.mark.parametrize(
    ("asked", "gpus", "has", "words"),
    [
        ("cuda", 0, CUDA, "lists no GPU.*FACE_ASSETS_DEVICE=cpu"),
        ("cuda:2", 2, CUDA, "cuda:2, and this machine has cuda:0 to cuda:1"),
        ("cuda:1", 1, CUDA, "this machine has cuda:0: name"),
        ("tensorrt", 1, ["CUDAExecutionProvider", "CPUExecutionProvider"], "no provider for it.*onnxruntime-gpu"),
    ],
)
def test_a_device_that_is_not_there_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, asked: str, gpus: int, has: list[str], words: str
) -> None:
    machine(monkeypatch, gpus, has)
    with pytest.raises(UserError, match=words):
        resolve(asked)


@pytest.mark.parametrize("asked", ["gpu", "cuda:", "cuda:-1", "cuda:100", "CUDA", "cpu:0"])
def test_another_text_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    monkeypatch.setenv("FACE_ASSETS_DEVICE", asked)
    with pytest.raises(UserError, match="`device`"):
        chosen()


def test_only_a_gpu_gives_results_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACE_ASSETS_DEVICE", "cpu")
    before = {step: step_version(step) for step in ("features", "detection", "export", "dataset_version")}
    result_facts.cache_clear()
    monkeypatch.setenv("FACE_ASSETS_DEVICE", "cuda:1")
    machine(monkeypatch, 0)  # a name asks for no computation
    assert other_libraries("features")["device"] == "cuda"
    after = {step: step_version(step) for step in before}
    assert [step for step in before if before[step] != after[step]] == ["features", "detection"]


def test_wrong_settings_do_not_stop_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACE_ASSETS_DEVICE", "gpu")
    assert result_facts() == {}


def torch_with(monkeypatch: pytest.MonkeyPatch, gpus: int, cuda: Any = "12.8") -> None:
    monkeypatch.setattr("face_assets.core.devices._torch_is_for_cpus", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.version, "cuda", cuda)


def test_training_takes_a_gpu_for_each_process(monkeypatch: pytest.MonkeyPatch) -> None:
    torch_with(monkeypatch, 2)
    assert [training_accelerator(asked, 2) for asked in ("auto", "cuda", "cpu")] == ["cuda", "cuda", "cpu"]
    assert training_accelerator("auto", 3) == "cpu"
    with pytest.raises(UserError, match=r"TRAIN_PROCESSES is 3.*there are 2"):
        training_accelerator("cuda", 3)
    with pytest.raises(UserError, match="cuda:1"):
        training_accelerator("cuda:1", 2)


def test_training_on_a_gpu_that_torch_lacks_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    torch_with(monkeypatch, 0, None)
    assert training_accelerator("auto", 1) == "cpu"
    with pytest.raises(UserError, match="build without CUDA"):
        training_accelerator("cuda", 1)
    torch_with(monkeypatch, 0)
    with pytest.raises(UserError, match="lists no GPU"):
        training_accelerator("cuda", 1)
