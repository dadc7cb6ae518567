"""Networks of a release as native models of Triton: files and configurations for its openvino, onnxruntime and tensorrt backends."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from face_assets.core.errors import UserError
from face_assets.core.files import link_or_copy, new_directory, read_json, write_text
from face_assets.core.inference import TRUNK, read_network
from face_assets.detection.facenet_pytorch import OUTPUTS, SIDES
from face_assets.embedding.engine_files import NETWORK, ONNX, SOURCE, data_of_source
from face_assets.serving.config_text import render
from face_assets.serving.runtime.limits import MAX_SECONDS, MAX_WAITING

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

Backend = Literal["python", "openvino", "onnxruntime", "tensorrt"]
PREFIX = "network_"
EMBEDDER = "embedder"
CANDIDATES = 64
"""Candidates that the detector sends to R-Net or O-Net at once."""
GPU_INSTANCES = 2
"""Of a network on each GPU: one computes while the other copies."""
LARGEST_PYRAMID = 64
"""Photos of one size whose level of the pyramid the detector sends at once: `serving.detector_batch` is at most that."""
DETECTOR_DELAY_US = 500
QUEUED_A_PHOTO = 4
"""Requests of a photo that wait for a network at once, at most: the detector's levels come one after the other, and crops in few parts."""
COMPILED = "/tmp/tensorrt"
"""Folder in the container for TensorRT's engines, which it compiles at the warm-up."""
TYPES = {"uint8": "TYPE_UINT8", "float32": "TYPE_FP32"}


@dataclass(frozen=True)
class Serving:
    """Runner of the networks: the backend, and GPUs by number, `all`, or None for the CPU's cores."""

    backend: Backend = "python"
    gpus: str | None = None

    @property
    def is_native(self) -> bool:
        """True where Triton runs the networks, and not our Python models."""
        return self.backend != "python"


BY_OUR_MODELS = Serving()


@dataclass(frozen=True)
class Tensor:
    """An input or output without its batch. dims: -1 for any length."""

    name: str
    dims: tuple[int, ...]
    kind: str = "float32"


@dataclass(frozen=True)
class Network:
    """A network: what both configurations are generated from. file: .xml, with .bin beside it, or .onnx; warm: dims of the first input."""

    name: str
    file: Path
    input: Tensor
    outputs: tuple[Tensor, ...]
    warm: tuple[int, ...]
    batch: int
    preferred: int
    fixed_shape: bool
    """True where TensorRT needs one engine only."""


def networks_of(bundle: Path, how: Serving, detector: Path | None) -> list[Network]:
    """Returns the networks of a bundle. detector: folder with MTCNN's in ONNX; None where the release's detector is another, which our
    model runs.

    Raises UserError for an embedder that the backend cannot run as it is.
    """
    found = [_embedder(bundle, how)]
    for name, side in SIDES.items() if detector else ():
        assert detector is not None
        found.append(_of_mtcnn(name, side, detector))
    return found


def _embedder(bundle: Path, how: Serving) -> Network:
    engine, serving = read_json(bundle / "engine.json"), read_json(bundle / "recognizer.json")["serving"]
    if engine["whitening"] == ONNX and how.backend != "openvino":
        raise UserError(
            f"FACE_ASSETS_TRITON_BACKEND is {how.backend}, and the release's embedder is one in ONNX, of which the OpenVINO network alone "
            "has the input normalization: set FACE_ASSETS_TRITON_BACKEND=openvino."
        )
    file = bundle / (NETWORK[0] if how.backend == "openvino" else SOURCE)
    side, batch = engine["image_size"], serving["max_batch"]
    outputs = [Tensor("embeddings", (engine["embedding_size"],)), *([Tensor("quality", ())] if _has_quality(bundle) else [])]
    crops = Tensor("crops", (side, side, 3), "uint8")
    return Network(EMBEDDER, file, crops, tuple(outputs), crops.dims, batch, min(serving.get("preferred_batch", 8), batch), True)


def _has_quality(bundle: Path) -> bool:
    """True where the engine has a second output: always of a release with a quality head, and of a network in ONNX by its lengths."""
    return len(read_network(bundle / NETWORK[0]).outputs) > 1


def _of_mtcnn(name: str, side: int, folder: Path) -> Network:
    rows = (-1, -1) if side < 0 else ()
    kinds = {"boxes": 4, "landmarks": 10, "probabilities": 2}
    outputs = tuple(Tensor(output, (kinds[output], *rows)) for output in OUTPUTS[name])
    pixels = Tensor("pixels", (3, side, side))
    warm = (3, 48, 48) if side < 0 else pixels.dims
    return Network(name, folder / f"{name}.onnx", pixels, outputs, warm, LARGEST_PYRAMID if side < 0 else CANDIDATES, 8, side > 0)


def write_networks(networks: Sequence[Network], root: Path, number: int) -> dict[str, str]:
    """Writes the version folder of each network, and returns the names of their models: new ones, for a name is a secret."""
    names = {network.name: f"{PREFIX}{network.name}_{secrets.token_hex(16)}" for network in networks}
    for network in networks:
        with new_directory(root / names[network.name] / str(number)) as folder:
            if network.file.suffix == ".xml":
                _write_openvino(network, folder)
            else:
                link_or_copy(network.file, folder / "model.onnx")
                for name in data_of_source(network.file):
                    link_or_copy(network.file.with_name(name), folder / name)
    return names


def _write_openvino(network: Network, folder: Path) -> None:
    """Writes model.xml and model.bin: links, unless the weights lie in several files, which the backend does not read, or the tensors lack
    their names, as those of an embedder in ONNX do."""
    import openvino as ov

    opened = read_network(network.file)
    tensors = [*opened.inputs, *opened.outputs]
    named = [network.input.name, *(output.name for output in network.outputs)]
    is_whole = not network.file.with_suffix(TRUNK).is_file()
    if is_whole and all(name in tensor.get_names() for name, tensor in zip(named, tensors, strict=True)):
        for suffix in (".xml", ".bin"):
            link_or_copy(network.file.with_suffix(suffix), folder / f"model{suffix}")
        return
    for name, tensor in zip(named, tensors, strict=True):
        tensor.get_tensor().set_names({name})
    ov.save_model(opened, folder / "model.xml", compress_to_fp16=False)


def called_from(networks: Sequence[Network], names: Mapping[str, str]) -> str:
    """Returns networks.json, by which our models call the networks (runtime/native_networks.py)."""
    stored = {
        network.name: {
            "model": names[network.name],
            "input": network.input.name,
            "outputs": [output.name for output in network.outputs],
            "batch": network.batch,
        }
        for network in networks
    }
    return json.dumps(stored, indent=2)


def config_of(network: Network, model: str, how: Serving, serving: Mapping[str, Any], precision: str, cores: int) -> "ModelConfig":
    """Returns the configuration of a network's model.

    serving: the release's parameters of the server; precision: f32, bf16 or int8, that of the release; cores: of the server.
    """
    from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelQueuePolicy

    backend = "openvino" if how.backend == "openvino" else "onnxruntime"  # which has TensorRT as an accelerator
    batched = backend != "openvino"  # which compiles for max_batch_size alone: every batch would be padded to it
    rows: tuple[int, ...] = () if batched else (-1,)
    config = ModelConfig(name=model, backend=backend, default_model_filename=f"model{network.file.suffix}")
    config.input.add(name=network.input.name, data_type=TYPES[network.input.kind], dims=(*rows, *network.input.dims))
    for output in network.outputs:
        made = config.output.add(name=output.name, data_type=TYPES[output.kind], dims=(*rows, *output.dims) or (1,))
        if batched and not output.dims:  # one number a row
            made.reshape.SetInParent()
    if batched:
        config.max_batch_size = network.batch
        batching = config.dynamic_batching
        batching.preferred_batch_size.append(network.preferred)
        batching.max_queue_delay_microseconds = serving["queue_delay_us"] if network.name == EMBEDDER else DETECTOR_DELAY_US
        policy = batching.default_queue_policy
        policy.timeout_action = ModelQueuePolicy.REJECT
        policy.default_timeout_microseconds = int(serving.get("max_seconds", MAX_SECONDS) * 1e6)
        policy.max_queue_size = serving.get("max_waiting", MAX_WAITING) * QUEUED_A_PHOTO
    _place(config, how, cores)
    _precision(config, network, how, precision)
    warm = config.model_warmup.add(name="first", batch_size=network.preferred if batched else 1)
    value = warm.inputs[network.input.name]
    value.data_type, value.zero_data = config.input[0].data_type, True
    value.dims.extend(network.warm if batched else (network.preferred, *network.warm))
    return config


def _place(config: "ModelConfig", how: Serving, cores: int) -> None:
    """Sets instances: of one thread on each core, which share nothing, or GPU_INSTANCES on each GPU."""
    group = config.instance_group.add()
    if how.gpus is None:
        group.kind, group.count = group.KIND_CPU, cores
        if config.backend == "openvino":  # its instances are requests of one compiled network, which has a stream of one thread for each
            config.parameters["INFERENCE_NUM_THREADS"].string_value = config.parameters["NUM_STREAMS"].string_value = str(cores)
        else:
            config.parameters["intra_op_thread_count"].string_value = "1"
        return
    group.kind, group.count = group.KIND_GPU, GPU_INSTANCES
    if how.gpus != "all":  # the container sees those of the setting, numbered from 0
        group.gpus.extend(range(len(how.gpus.split(","))))


def _precision(config: "ModelConfig", network: Network, how: Serving, precision: str) -> None:
    if how.backend == "openvino" and network.name == EMBEDDER and precision == "bf16":
        config.parameters["HINT_BF16"].string_value = "YES"
    if how.backend == "tensorrt" and network.fixed_shape:
        accelerator = config.optimization.execution_accelerators.gpu_execution_accelerator.add(name="tensorrt")
        accelerator.parameters["precision_mode"] = "FP32" if precision == "f32" or network.name != EMBEDDER else "FP16"
        accelerator.parameters["trt_engine_cache_enable"] = "true"
        accelerator.parameters["trt_engine_cache_path"] = COMPILED


def write(bundle: Path, root: Path, number: int, configs: Path, how: Serving, cores: int) -> str:
    """Writes version folders and configurations of a bundle's networks, and returns the content of networks.json for the models that call
    them. configs: folder of the version's configurations. Raises UserError for an embedder that the backend cannot run as it is."""
    from face_assets.detection.facenet_pytorch import export_detector_in_onnx

    recognizer, precision = read_json(bundle / "recognizer.json"), read_json(bundle / "engine.json")["precision"]
    with TemporaryDirectory(prefix="face-assets-networks-") as made:
        detector = None if recognizer["detector"].get("family") else Path(made)
        if detector:
            export_detector_in_onnx(detector)
        networks = networks_of(bundle, how, detector)
        names = write_networks(networks, root, number)
    for network in networks:
        model = names[network.name]
        config = config_of(network, model, how, recognizer["serving"], precision, cores)
        write_text(configs / f"{model}.pbtxt", render(config))
    return called_from(networks, names)
