"""A Triton server on free ports that answers with a kit's int8 engine, as a release's bundle has it."""

import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from benchmarks.kit import DETECTOR, Kit
from face_assets.core.files import link_or_copy, write_json
from face_assets.core.params import Serving
from face_assets.core.settings import usable_cores
from face_assets.embedding.engine import Engine
from face_assets.gallery.enrolment import templates_of, write_gallery
from face_assets.gallery.search import Gallery
from face_assets.serving.deployment_check import GoldenRequest
from face_assets.serving.embedded import EmbeddedTarget
from face_assets.serving.model_repository import write_models
from face_assets.serving.server_environment import ensure_environment
from face_assets.serving.triton_server import Ports, Recording

ROOT = Path(__file__).parents[1]
GOLDEN_REQUESTS = 4
THRESHOLD = 0.4


@contextmanager
def serving(kit: Kit, record: str = "off") -> Iterator[EmbeddedTarget]:
    """Gives the server. record: as the setting."""
    environment = ensure_environment(Path(sys.prefix) / "serving", ROOT / "deploy" / "requirements-serving.txt", print)
    budget = Serving(max_latency_ms=60_000.0)
    with tempfile.TemporaryDirectory() as folder:
        root, bundle = Path(folder) / "server", Path(folder) / "bundle"
        golden_requests = _bundle(kit, bundle, budget)
        ports = Ports(*free_ports(3))
        target = EmbeddedTarget(root, environment, ports, usable_cores(), record=Recording(record))
        try:
            version = write_models(bundle, "v1.0.0", "0" * 40, target.models, ROOT / "triton_models", usable_cores())
            target.deploy(version, golden_requests, budget)
            yield target
        finally:
            target.stop()


def _bundle(kit: Kit, bundle: Path, budget: Serving) -> list[GoldenRequest]:
    """Writes what release/steps.py writes, as far as the server reads it; returns the offline answers."""
    (bundle / "detector").mkdir(parents=True)
    for file in kit.networks.iterdir():
        link_or_copy(file, bundle / "detector" / file.name)
    for file in kit.engines["int8"].iterdir():
        link_or_copy(file, bundle / file.name)
    vectors = Engine(bundle / "embedder.xml", "int8", usable_cores()).embed(kit.crops)
    write_gallery(templates_of(vectors, [str(person) for person in kit.people]), bundle)
    recognizer = {
        "detector": asdict(DETECTOR),
        "max_megapixels": 100.0,
        "precision": "int8",
        "embedding_size": vectors.shape[1],
        "verification_threshold": THRESHOLD,
        "identification_threshold": THRESHOLD,
        "serving": budget.model_dump(mode="json"),
    }
    write_json(bundle / "recognizer.json", recognizer)
    gallery = Gallery.load(bundle)
    places, scores = gallery.search(vectors[:GOLDEN_REQUESTS])
    return [
        GoldenRequest(kit.files[row].read_bytes(), vectors[row], gallery.names[places[row]], float(scores[row]), THRESHOLD)
        for row in range(GOLDEN_REQUESTS)
    ]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listened on a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
