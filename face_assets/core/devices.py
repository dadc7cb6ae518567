"""The processor that computes in bulk: FACE_ASSETS_DEVICE, resolved to one of this machine, or a sentence that says why it is not there."""

import ctypes
import logging
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from face_assets.core.errors import UserError
from face_assets.core.settings import load_settings

SETTING = "FACE_ASSETS_DEVICE"
AUTO = "auto"
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
"""Kind of a device → ONNX Runtime's provider for it."""
PACKAGES = ("onnxruntime-gpu", "onnxruntime")  # both are imported as onnxruntime

Kind = Literal["cpu", "cuda", "tensorrt"]


@dataclass(frozen=True)
class Device:
    """A processor: the CPU, or a GPU by its number and the ONNX Runtime provider that runs networks on it."""

    kind: Kind = "cpu"
    number: int = 0

    @staticmethod
    def of(text: str) -> "Device":
        """The device of a setting's text, such as cpu, cuda or cuda:1; not `auto`."""
        kind, _, number = text.partition(":")
        assert kind in PROVIDERS, text
        return Device(kind, int(number or 0))  # type: ignore[arg-type]  # one of the keys, by the line before

    def __str__(self) -> str:
        return f"{self.kind}:{self.number}" if self.is_gpu else self.kind

    @property
    def is_gpu(self) -> bool:
        """True for a GPU."""
        return self.kind != "cpu"

    @property
    def for_any_shape(self) -> "Device":
        """The device for networks whose inputs vary in size: TensorRT would compile an engine for each size."""
        return Device("cuda", self.number) if self.kind == "tensorrt" else self

    def facts(self) -> dict[str, str]:
        """Facts that decide results beside the libraries of a step; none on the CPU, whose results keep their names."""
        return {"device": self.kind, "onnxruntime": _installed_onnxruntime()} if self.is_gpu else {}


CPU = Device()


def gpu_count() -> int:
    """Number of GPUs that NVIDIA's driver lists for this process (CUDA_VISIBLE_DEVICES counts); 0 without the driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value


def providers() -> list[str]:
    """ONNX Runtime's providers in this environment; those of a GPU come with onnxruntime-gpu."""
    import onnxruntime  # type: ignore[import-untyped]

    return list(onnxruntime.get_available_providers())


def resolve(asked: str) -> Device:
    """The device for inference that the setting `asked` names; `auto` is the first GPU where one can be used, else the CPU.

    Raises UserError for a named device that this machine or its libraries lack.
    """
    if asked == AUTO:
        if not gpu_count():
            return CPU
        if PROVIDERS["cuda"] in providers():
            return Device("cuda")
        logging.getLogger(__name__).warning(
            "a GPU is there, and networks run on the CPU: ONNX Runtime's CUDA provider is in onnxruntime-gpu"
        )
        return CPU
    device = Device.of(asked)
    if not device.is_gpu:
        return device
    require_number(asked, device.number, gpu_count())
    if PROVIDERS[device.kind] not in providers():
        raise UserError(
            f"{SETTING} is {asked}, and onnxruntime {_installed_onnxruntime()} has no provider for it (it has {', '.join(providers())}): "
            f"replace onnxruntime by onnxruntime-gpu (docs/how-to/devices.md), or set {SETTING}=cpu."
        )
    return device


def require_number(asked: str, number: int, count: int) -> None:
    """Raises UserError unless there are GPUs up to this number."""
    if count == 0:
        raise UserError(
            f"{SETTING} is {asked}, and NVIDIA's driver lists no GPU on this machine (libcuda.so.1, CUDA_VISIBLE_DEVICES): "
            f"set {SETTING}=cpu, or see why `nvidia-smi` lists none."
        )
    if number >= count:
        names = "cuda:0" if count == 1 else f"cuda:0 to cuda:{count - 1}"
        raise UserError(f"{SETTING} is {asked}, and this machine has {names}: name one of them.")


@cache
def chosen() -> Device:
    """The device of this process for inference, by the settings at its start. Raises UserError as `resolve` does."""
    return resolve(load_settings().device)


@cache
def result_facts() -> dict[str, str]:
    """`Device.facts` of the chosen device, for names of results. A named device need not be there: a name asks for no computation."""
    try:
        asked = load_settings().device
    except UserError:  # every use of the platform reports wrong settings; naming a step is none
        return {}
    return (resolve(asked) if asked == AUTO else Device.of(asked)).facts()


def _torch_is_for_cpus() -> bool:
    """True for torch's build for CPUs on Linux, found without the import of torch, which takes seconds in a run that does not train."""
    return sys.platform == "linux" and version("torch").endswith("+cpu")


def training_accelerator(asked: str, processes: int) -> Literal["cpu", "cuda", "mps"]:
    """Lightning's accelerator for a training in `processes` processes, each on a GPU of its own: torch's CUDA where it is there.

    With `auto`, fewer GPUs than processes mean the CPU. Raises UserError for a named GPU that is not there, or that torch cannot use.
    """
    if asked == AUTO and _torch_is_for_cpus():
        return "cpu"
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if asked == AUTO:
        if count >= processes:
            return "cuda"
        return "mps" if processes == 1 and torch.backends.mps.is_available() else "cpu"
    device = Device.of(asked)
    if not device.is_gpu:
        return "cpu"
    if torch.version.cuda is None:
        raise UserError(
            f"{SETTING} is {asked}, and torch {torch.__version__} is a build without CUDA: install torch's CUDA build "
            f"(docs/how-to/devices.md), or set {SETTING}=auto, which trains on what torch finds."
        )
    require_number(asked, device.number, count)
    if processes > 1 and (device.number or count < processes):
        raise UserError(
            f"FACE_ASSETS_TRAIN_PROCESSES is {processes}, each on a GPU of its own from cuda:0 on; {SETTING} is {asked}, and there are "
            f"{count}: set fewer processes, or {SETTING}=cuda."
        )
    return "cuda"


def gpu_number(asked: str) -> int:
    """The number of the GPU that the setting names; 0 where it names none."""
    return 0 if asked == AUTO else Device.of(asked).number


def _installed_onnxruntime() -> str:
    for package in PACKAGES:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return "none"
