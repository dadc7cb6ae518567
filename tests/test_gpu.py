"""CPU and GPU agree, on a machine with an NVIDIA GPU: `make check-gpu` runs these, and every other call of pytest leaves them out."""

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from face_assets.core import params
from face_assets.core.devices import Device, chosen, gpu_count, resolve
from face_assets.core.subprocesses import run
from face_assets.demo.synthetic import draw
from face_assets.detection.detector import DetectorConfig
from face_assets.detection.device_networks import networks_for, open_detector_on
from face_assets.detection.facenet_pytorch import export_detector_in_onnx
from face_assets.detection.mtcnn import Detector
from face_assets.embedding.device_engine import device_cosines
from face_assets.embedding.distributed import train_on
from face_assets.embedding.export import export_engine
from face_assets.embedding.features import load_crops
from face_assets.embedding.training import TrainingRequest, TrainingResult
from face_assets.embedding.weights import load_embedder
from face_assets.serving.config_text import render
from face_assets.serving.triton_networks import Serving, config_of, networks_of, write_networks
from face_assets.storage.content_store import ContentStore, Entry
from face_assets.storage.home import StoreFolder

pytestmark = pytest.mark.gpu

IMAGE = "nvcr.io/nvidia/tritonserver:25.07-py3"  # as deploy/serving.Dockerfile has it
LEAST_COSINE = 0.9999
SIDE, PEOPLE, PHOTOS = 160, 4, 6


@pytest.fixture
def crops(tmp_path: Path) -> ContentStore:
    """Drawn people under the keys 0 …, in order."""
    store = ContentStore(tmp_path / "crops.sqlite")
    drawn = (np.asarray(draw(person, photo).resize((SIDE, SIDE))) for person in range(PEOPLE) for photo in range(PHOTOS))
    store.put(Entry(str(number), {"status": "face"}, crop.tobytes()) for number, crop in enumerate(drawn))
    return store


def test_there_is_a_gpu_that_onnx_runtime_and_torch_use() -> None:
    assert gpu_count() >= 1
    assert resolve("auto") == Device("cuda")
    assert torch.cuda.device_count() >= 1


@pytest.mark.parametrize("asked", ["cuda", "tensorrt"])
def test_embeddings_agree_with_the_cpus(tmp_path: Path, crops: ContentStore, asked: str) -> None:
    export_engine(load_embedder("scratch", 128, 0), "fixed", SIDE, tmp_path, 128)
    images = load_crops(crops, [str(number) for number in range(PEOPLE * PHOTOS)])
    assert device_cosines(tmp_path, images, resolve(asked), 2)["min"] >= LEAST_COSINE


def test_faces_agree_with_the_cpus(networks: Path) -> None:
    gpu, config = resolve("cuda"), DetectorConfig()
    images = [np.asarray(draw(person, 0).resize((side, side))) for person in range(PEOPLE) for side in (160, 320, 500)]
    with networks_for(gpu, networks, config) as folder:
        found = open_detector_on(gpu, folder, config).detect_all(images)
    for faces, expected in zip(found, Detector(networks, config).detect_all(images), strict=True):
        np.testing.assert_allclose(faces.boxes, expected.boxes, atol=0.5)


def trained(crops: ContentStore, folder: Path, processes: int, accelerator: str, unfreeze: str = "head") -> TrainingResult:
    keys = [str(number) for number in range(PEOPLE * PHOTOS)]
    labels = [number // PHOTOS for number in range(len(keys))]
    request = TrainingRequest(
        weights="scratch",
        embedder=params.Embedder(embedding_size=64),
        train=params.Train(epochs=2, batch_size=8, unfreeze=unfreeze, degrade={}),  # type: ignore[arg-type]
        crops=crops,
        image_size=SIDE,
        features=StoreFolder(folder / "features"),
        train_keys=keys,
        train_labels=labels,
        validation_keys=keys[::2],
        validation_labels=labels[::2],
        accelerator=accelerator,  # type: ignore[arg-type]
    )
    return train_on(processes, request, folder / "work", folder / "out", 2, print)


def test_a_training_learns_on_the_gpu(tmp_path: Path, crops: ContentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACE_ASSETS_DEVICE", "cuda")
    chosen.cache_clear()
    there = trained(crops, tmp_path / "gpu", 1, "cuda", "all")
    assert there.curve[-1]["loss"] < there.curve[0].get("loss", np.inf)
    assert all(np.isfinite(list(row.values())).all() for row in there.curve)
    chosen.cache_clear()


@pytest.mark.skipif(gpu_count() < 2, reason="one GPU: two processes need one each")
def test_two_gpus_train_as_one(tmp_path: Path, crops: ContentStore) -> None:
    one, two = (trained(crops, tmp_path / str(processes), processes, "cuda", "all") for processes in (1, 2))
    np.testing.assert_allclose([row["loss"] for row in two.curve], [row["loss"] for row in one.curve], rtol=0.05)


@pytest.mark.parametrize("how", [Serving("openvino"), Serving("onnxruntime", "0"), Serving("tensorrt", "0")], ids=lambda how: how.backend)
def test_nvidias_image_loads_the_networks(tmp_path: Path, how: Serving) -> None:
    """Loads and warms up all four, or ends: --exit-on-error."""
    bundle, models = tmp_path / "bundle", tmp_path / "models"
    export_engine(load_embedder("scratch", 128, 0), "fixed", SIDE, bundle, 128)
    serving = params.Serving().model_dump()
    (bundle / "recognizer.json").write_text(f'{{"serving": {{"max_batch": {serving["max_batch"]}}}}}')
    detector = tmp_path / "detector"
    detector.mkdir()
    export_detector_in_onnx(detector)
    networks = networks_of(bundle, how, detector)
    names = write_networks(networks, models, 1)
    for network in networks:
        config = config_of(network, names[network.name], how, serving, "f32", 2)
        (models / names[network.name] / "config.pbtxt").write_text(render(config))
    docker = shutil.which("docker")
    assert docker, "docker is missing"
    gpus = ["--gpus", "all"] if how.gpus else []
    command = [docker, "run", "--rm", "--detach", *gpus, "--volume", f"{models}:/models:ro", IMAGE, "tritonserver"]
    started = run([*command, "--model-repository=/models", "--exit-on-error=true", "--disable-auto-complete-config"], 1800)
    assert not started.returncode, started.stderr
    container = started.stdout.strip()
    try:
        assert _is_ready(docker, container), run([docker, "logs", container], 60).stderr[-2000:]
    finally:
        run([docker, "rm", "--force", container], 60)


def _is_ready(docker: str, container: str) -> bool:
    """True once the server is ready, False when its container has ended or after ten minutes, in which TensorRT compiles."""
    for _ in range(600):
        if run([docker, "exec", container, "curl", "-sf", "localhost:8000/v2/health/ready"], 60).returncode == 0:
            return True
        if run([docker, "inspect", container], 60).returncode:
            return False
        time.sleep(1)
    return False
