"""Two tiny releases, the offline results that a deployment must repeat, and servers on free ports."""

import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from face_assets.biometrics.quality import QualityScale
from face_assets.core.files import write_json
from face_assets.core.params import Serving
from face_assets.dataset.decoding import decode
from face_assets.demo.synthetic import draw
from face_assets.detection.detector import DetectorConfig
from face_assets.detection.mtcnn import Detector
from face_assets.embedding.engine import Engine
from face_assets.gallery.enrolment import templates_of, write_gallery
from face_assets.gallery.search import Gallery
from face_assets.serving.deployment_check import GoldenRequest
from face_assets.serving.embedded import EmbeddedTarget
from face_assets.serving.model_repository import ModelVersion, write_models
from face_assets.serving.server_environment import ServingEnvironment, ensure_environment
from face_assets.serving.triton_server import NO_RECORD, Ports, Recording

ROOT = Path(__file__).parents[2]
PEOPLE = (0, 1, 3)
SIDE = 80
SIZES = {"v1.0.0": 16, "v2.0.0": 24}
THRESHOLD = -0.5
DETECTOR = DetectorConfig(image_size=SIDE, margin=16, min_face_size=40, align="upright", turned_below=0.5)


WITH_QUALITY = "v1.0.0"
"""The release whose engine has raw qualities; the other is of an earlier version."""
SCALE = QualityScale(slope=40.0, middle=0.2)


def _write_engine(folder: Path, size: int, with_quality: bool) -> None:
    """Mean colours of a 4x4 grid of the crop, through a fixed random linear map, of unit length; the raw quality is the mean brightness."""
    import openvino as ov
    from openvino import opset13 as ops

    crops = ops.parameter([-1, SIDE, SIDE, 3], np.uint8, name="crops")
    planes = ops.transpose(ops.convert(crops, "f32"), np.array([0, 3, 1, 2]))
    pooled = ops.avg_pool(planes, [20, 20], [0, 0], [0, 0], [20, 20], exclude_pad=True)
    flat = ops.subtract(ops.reshape(pooled, np.array([0, -1]), special_zero=True), np.float32(127.5))
    weights = np.random.default_rng(size).normal(size=(48, size)).astype(np.float32)
    vectors = ops.normalize_l2(ops.matmul(flat, weights, False, False), np.array([1]), 1e-9, "max")
    brightness = ops.divide(ops.reduce_mean(planes, np.array([1, 2, 3])), np.float32(255))
    ov.save_model(ov.Model([vectors, brightness][: 1 + with_quality], [crops], "tiny"), folder / "embedder.xml", compress_to_fp16=False)


@dataclass(frozen=True)
class Kit:
    """Releases that the tests deploy, and their environment."""

    folder: Path
    environment: ServingEnvironment
    budget: Serving
    free_ports: Callable[[int], list[int]]

    def bundle(self, release: str) -> Path:
        """The bundle's folder, as pipeline/release.py puts it together."""
        return self.folder / release

    def photo(self, person: int, photo: int) -> bytes:
        """A drawn person as a small JPEG."""
        output = io.BytesIO()
        draw(person, photo, size=160).save(output, "JPEG", quality=90)
        return output.getvalue()

    def embed(self, bundle: Path, content: bytes) -> npt.NDArray[np.float32]:
        """The offline embedding of the photo's subject, float32 (d,)."""
        detector, image = Detector(bundle / "detector", DETECTOR), decode(content)
        crop = detector.crop(image, detector.detect(image))
        return Engine(bundle / "embedder.xml", "f32", 1).embed(crop[None])[0]

    def golden_requests(self, release: str) -> list[GoldenRequest]:
        """The offline answers of a release."""
        gallery, made = Gallery.load(self.bundle(release)), []
        for person in PEOPLE:
            content = self.photo(person, 1)
            embedding = self.embed(self.bundle(release), content)
            places, scores = gallery.search(embedding[None])
            made.append(GoldenRequest(content, embedding, gallery.names[places[0]], float(scores[0]), THRESHOLD))
        return made

    def write(self, models: Path, release: str, bundle: Path | None = None, commit: str | None = None, anew: bool = False) -> ModelVersion:
        """The version folders of a release; with `bundle`, those of other files under its name."""
        written = (commit or release).ljust(40, "0")
        return write_models(bundle or self.bundle(release), release, written, models, ROOT / "triton_models", 2, anew)

    def target(self, root: Path, ports: Ports | None = None, record: Recording = NO_RECORD) -> EmbeddedTarget:
        """A server of its own folder, not started."""
        return EmbeddedTarget(root, self.environment, ports or Ports(*self.free_ports(3)), 2, record=record)

    def deploy(self, target: EmbeddedTarget, release: str) -> ModelVersion:
        """Makes a release live."""
        version = self.write(target.models, release)
        target.deploy(version, self.golden_requests(release), self.budget)
        return version

    @staticmethod
    def change(models: Path, version: ModelVersion, model: str, changes: Mapping[str, str]) -> None:
        """Replaces code in a model of a written version; each old text must occur once."""
        file = models / model / str(version.number) / "model.py"
        text = file.read_text()
        for old, new in changes.items():
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        file.unlink()  # it may be a link to the original
        file.write_text(text)

    @staticmethod
    def size(release: str) -> int:
        """The length of a release's embeddings, which those of one major version share."""
        return SIZES[f"{release.split('.')[0]}.0.0"]


@pytest.fixture(scope="session")
def kit(tmp_path_factory: pytest.TempPathFactory, free_ports: Callable[[int], list[int]], networks: Path) -> Kit:
    directory = Path(os.environ.get("FACE_ASSETS_SERVING_ENV") or Path(sys.prefix) / "serving")
    environment = ensure_environment(directory, ROOT / "deploy" / "requirements-serving.txt", print)
    made = Kit(tmp_path_factory.mktemp("bundles"), environment, Serving(max_latency_ms=10_000.0, queue_delay_us=20_000), free_ports)
    for release, size in SIZES.items():
        folder = made.bundle(release)
        shutil.copytree(networks, folder / "detector")
        _write_engine(folder, size, release == WITH_QUALITY)
        write_json(folder / "engine.json", {"precision": "f32", "embedding_size": size, "image_size": SIDE, "whitening": "fixed"})
        recognizer = {
            "detector": json.loads(json.dumps(asdict(DETECTOR))),
            "max_megapixels": 100.0,
            "precision": "f32",
            "embedding_size": size,
            "verification_threshold": 0.5,
            "identification_threshold": THRESHOLD,
            "serving": made.budget.model_dump(mode="json"),
        }
        if release == "v2.0.0":  # releases of earlier versions have none
            recognizer["stranger_rates"] = {"scores": [-0.9, 0.9], "rates": [0.5, 0.01]}
        if release == WITH_QUALITY:
            recognizer["quality"] = SCALE.to_json()
        write_json(folder / "recognizer.json", recognizer)
        found = np.stack([made.embed(folder, made.photo(person, 0)) for person in PEOPLE])
        write_gallery(templates_of(found, [f"{release} {person}" for person in PEOPLE]), folder)  # the name contains the release
    return made


@pytest.fixture(scope="module")
def target(kit: Kit, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedTarget]:
    """One server for a module; a test that cares what is live deploys it."""
    made = kit.target(tmp_path_factory.mktemp("server") / "serving")
    made.start()
    yield made
    made.stop()
