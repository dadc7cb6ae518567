"""The embedded target with the real server: swaps without a lost request, refusals, kills."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from face_assets.dataset.synthetic import draw
from face_assets.embedder.facenet import export_detector
from face_assets.embedder.gallery import templates_of, write_gallery
from face_assets.errors import UserError
from face_assets.params import Serving
from face_assets.serving import model_repository
from face_assets.serving.client import RecognizerClient
from face_assets.serving.embedded import DeploymentRefusedError, EmbeddedTarget, read_status
from face_assets.serving.environment import ServingEnvironment, ensure_environment
from face_assets.serving.model_repository import ModelVersion, write_models
from face_assets.serving.triton import Ports
from face_assets.serving.verification import Probe
from face_assets.vision.embed import Engine
from face_assets.vision.mtcnn import Detector, DetectorConfig
from face_assets.vision.search import Gallery

ROOT = Path(__file__).parents[2]
PEOPLE = (0, 1, 3, 4)  # whom the detector finds in each of their first photos
SIDE, SIZES = 80, {"v1.0.0": 16, "v2.0.0": 24}
BUDGET = Serving(max_latency_ms=5000.0)
THRESHOLD = -0.5


def photo_bytes(person: int, photo: int) -> bytes:
    import io

    output = io.BytesIO()
    draw(person, photo).save(output, "JPEG", quality=90)
    return output.getvalue()


def write_engine(folder: Path, size: int) -> None:
    """A tiny embedder: mean colours of a grid, projected at random, of unit length."""
    import openvino as ov
    from openvino import opset13 as ops

    crops = ops.parameter([-1, SIDE, SIDE, 3], np.uint8, name="crops")
    planes = ops.transpose(ops.convert(crops, "f32"), np.array([0, 3, 1, 2]))
    pooled = ops.avg_pool(planes, [20, 20], [0, 0], [0, 0], [20, 20], exclude_pad=True)
    flat = ops.subtract(ops.reshape(pooled, np.array([0, -1]), special_zero=True), np.float32(127.5))
    weights = np.random.default_rng(size).normal(size=(48, size)).astype(np.float32)
    vectors = ops.normalize_l2(ops.matmul(flat, weights, False, False), np.array([1]), 1e-9, "max")
    ov.save_model(ov.Model([vectors], [crops], "tiny"), folder / "embedder.xml", compress_to_fp16=False)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bundles of two releases, of embedders of different sizes."""
    root = tmp_path_factory.mktemp("bundles")
    detector = {"image_size": SIDE, "margin": 16}
    for release, size in SIZES.items():
        folder = root / release
        (folder / "detector").mkdir(parents=True)
        export_detector(folder / "detector")
        write_engine(folder, size)
        engine = {"precision": "f32", "embedding_size": size, "image_size": SIDE, "whitening": "fixed"}
        (folder / "engine.json").write_text(json.dumps(engine))
        recognizer = {
            "detector": {**DetectorConfig(image_size=SIDE, margin=16).__dict__, **detector}, "max_megapixels": 100.0, "precision": "f32",
            "embedding_size": size, "verification_threshold": 0.5, "identification_threshold": THRESHOLD,
            "serving": BUDGET.model_dump(mode="json"),
        }  # fmt: skip
        (folder / "recognizer.json").write_text(json.dumps(recognizer))
        found = [offline(folder, photo_bytes(person, 0))[0] for person in PEOPLE]
        write_gallery(templates_of(np.stack(found), [f"person {person}" for person in PEOPLE]), folder)
    return root_of(root)


def root_of(root: Path) -> dict[str, Path]:
    return {release: root / release for release in SIZES}


def offline(bundle: Path, content: bytes) -> tuple[np.ndarray, ...]:
    """The offline embedding of a photo's subject."""
    from face_assets.vision.decode import decode

    detector = Detector(bundle / "detector", DetectorConfig(image_size=SIDE, margin=16))
    image = decode(content)
    crop = detector.crop(image, detector.detect(image).boxes[0])
    return (Engine(bundle / "embedder.xml", "f32", 1).embed(crop[None])[0],)


def probes(bundle: Path) -> list[Probe]:
    gallery = Gallery.load(bundle)
    made = []
    for person in PEOPLE:
        content = photo_bytes(person, 1)
        embedding = offline(bundle, content)[0]
        places, scores = gallery.search(embedding[None])
        made.append(Probe(content, embedding, gallery.names[places[0]], float(scores[0]), bool(scores[0] >= THRESHOLD)))
    return made


@pytest.fixture(scope="module")
def environment() -> ServingEnvironment:
    directory = Path(os.environ.get("FACE_ASSETS_SERVING_ENV") or Path(sys.prefix) / "serving")
    return ensure_environment(directory, ROOT / "deploy" / "requirements-serving.txt", print)


def free_ports() -> Ports:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports = Ports(*(one.getsockname()[1] for one in sockets))
    for one in sockets:
        one.close()
    return ports


@pytest.fixture
def target(tmp_path: Path, environment: ServingEnvironment) -> Iterator[EmbeddedTarget]:
    made = EmbeddedTarget(tmp_path / "serving", environment, free_ports(), 2)
    yield made
    made.stop()


def write(target: EmbeddedTarget, bundles: dict[str, Path], release: str) -> ModelVersion:
    return write_models(bundles[release], release, release.encode().hex().ljust(40, "0"), target.models, ROOT / "triton_models", 2)


def deploy(target: EmbeddedTarget, bundles: dict[str, Path], release: str) -> ModelVersion:
    version = write(target, bundles, release)
    target.deploy(version, probes(bundles[release]), BUDGET)
    return version


def client(target: EmbeddedTarget) -> RecognizerClient:
    return RecognizerClient(f"127.0.0.1:{target.ports.grpc}")


def test_swaps_under_load_lose_no_request_and_mix_no_releases(target: EmbeddedTarget, bundles: dict[str, Path]) -> None:
    deploy(target, bundles, "v1.0.0")
    photo, over = photo_bytes(0, 2), threading.Event()
    failures: list[str] = []
    seen: dict[str, int] = {}

    def ask() -> None:
        mine = client(target)
        while not over.is_set():
            try:
                answer = mine.identify(photo)
            except UserError as error:
                failures.append(str(error))
                continue
            seen[answer.release] = seen.get(answer.release, 0) + 1
            if len(answer.faces[0].embedding) != SIZES[answer.release]:
                failures.append(f"{answer.release} with {len(answer.faces[0].embedding)} numbers")

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    for release in ("v2.0.0", "v1.0.0", "v2.0.0"):
        deploy(target, bundles, release)
    over.set()
    for asker in askers:
        asker.join()
    assert failures == []
    assert min(seen.values()) > 10
    assert set(seen) == set(SIZES)


def test_a_candidate_that_answers_wrongly_or_does_not_load_is_refused(target: EmbeddedTarget, bundles: dict[str, Path]) -> None:
    deploy(target, bundles, "v1.0.0")
    candidate = write(target, bundles, "v2.0.0")
    with pytest.raises(DeploymentRefusedError, match="embeddings"):
        wrong = [Probe(one.content, -one.embedding, one.identity, one.score, one.accepted) for one in probes(bundles["v2.0.0"])]
        target.deploy(candidate, wrong, BUDGET)
    with pytest.raises(DeploymentRefusedError, match="latency"):
        target.deploy(candidate, probes(bundles["v2.0.0"]), Serving(max_latency_ms=0.001))
    weights = target.models / "face_embedder" / str(candidate.number) / "embedder.bin"
    content = weights.read_bytes()
    weights.unlink()
    weights.write_bytes(content[:100])
    with pytest.raises(DeploymentRefusedError, match="does not load"):
        target.deploy(candidate, probes(bundles["v2.0.0"]), BUDGET)
    status = target.status()
    assert (status.ready, status.live and status.live.release) == (True, "v1.0.0")
    assert client(target).identify(photo_bytes(0, 2)).release == "v1.0.0"
    assert not list(target.models.glob("candidate_*"))


def test_odd_photos_get_their_own_answer(target: EmbeddedTarget, bundles: dict[str, Path]) -> None:
    deploy(target, bundles, "v1.0.0")
    asker = client(target)
    for content in (b"", b"no photo", photo_bytes(0, 0)[:2000]):
        with pytest.raises(UserError, match="cannot be used"):
            asker.identify(content)
    import io

    from PIL import Image

    pair = Image.new("RGB", (520, 260), (100, 100, 100))
    pair.paste(draw(0, 0), (5, 5))
    pair.paste(draw(3, 0), (265, 5))
    for picture, faces in ((pair, 2), (Image.new("RGB", (200, 200), (90, 90, 90)), 0)):
        output = io.BytesIO()
        picture.save(output, "WEBP")
        assert len(asker.identify(output.getvalue()).faces) == faces


def test_a_killed_server_and_a_killed_deployment_are_mended(target: EmbeddedTarget, bundles: dict[str, Path], tmp_path: Path) -> None:
    deploy(target, bundles, "v1.0.0")
    status = target.status()
    assert status.pid
    os.kill(status.pid, 9)
    time.sleep(0.3)
    assert read_status(target.root).running is False
    target.start()
    assert client(target).identify(photo_bytes(0, 2)).release == "v1.0.0"
    candidate = write(target, bundles, "v2.0.0")
    for seconds in (0.3, 1.2):
        child = os.fork()
        if child == 0:
            target.deploy(candidate, probes(bundles["v2.0.0"]), BUDGET)
            os._exit(0)
        time.sleep(seconds)
        os.kill(child, 9)
        os.waitpid(child, 0)
        target.start()
        status = target.status()
        assert status.ready
        assert status.live
        assert client(target).identify(photo_bytes(0, 2)).release == status.live.release
    deploy(target, bundles, "v2.0.0")
    assert client(target).identify(photo_bytes(0, 2)).release == "v2.0.0"


def test_a_port_in_use_names_its_setting(tmp_path: Path, environment: ServingEnvironment) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = free_ports()
        mine = EmbeddedTarget(tmp_path / "serving", environment, Ports(ports.http, taken.getsockname()[1], ports.metrics), 2)
        with pytest.raises(UserError, match="FACE_ASSETS_GRPC_PORT"):
            mine.start()


def test_callers_cannot_control_models(target: EmbeddedTarget, bundles: dict[str, Path]) -> None:
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    deploy(target, bundles, "v1.0.0")
    caller = InferenceServerClient(f"127.0.0.1:{target.ports.grpc}")
    for call in (
        lambda: caller.unload_model("face_recognizer"),
        lambda: caller.load_model("face_recognizer"),
        caller.get_model_repository_index,
    ):
        with pytest.raises(InferenceServerException, match="restricted"):
            call()
    posted = subprocess.run(
        ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-X", "POST",
         f"http://127.0.0.1:{target.ports.http}/v2/repository/models/face_recognizer/unload"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert posted.stdout == "403"


def test_the_same_release_is_written_once_and_old_ones_are_swept(tmp_path: Path, bundles: dict[str, Path]) -> None:
    def put(release: str) -> ModelVersion:
        return write_models(bundles[release], release, release.ljust(40, "0"), tmp_path, ROOT / "triton_models", 2)

    first, second = put("v1.0.0"), put("v2.0.0")
    assert (first.number, second.number, put("v1.0.0")) == (1, 2, first)
    shutil.rmtree(tmp_path / "face_embedder" / "1")
    assert put("v1.0.0").number == 3
    model_repository.sweep(tmp_path, {3})
    assert [version.number for version in model_repository.versions(tmp_path)] == [3]
    assert not (tmp_path / "face_detector" / "2").exists()
    config = model_repository.parse((tmp_path / "configs" / "3" / "face_embedder.pbtxt").read_text())
    assert (config.max_batch_size, config.parameters["release"].string_value) == (BUDGET.max_batch, "v1.0.0")
