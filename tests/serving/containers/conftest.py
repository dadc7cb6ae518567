"""A real engine, the base image, and one set of containers that the tests share."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from face_assets.core.params import Serving
from face_assets.serving.client import RecognizerClient
from face_assets.serving.containers.docker_engine import DockerEngine
from face_assets.serving.containers.gateway import Listeners
from face_assets.serving.containers.haproxy import Limits
from face_assets.serving.containers.images import Images, Recipe
from face_assets.serving.containers.servers import Size
from face_assets.serving.containers.target import ContainerTarget
from face_assets.serving.model_repository import ModelVersion
from face_assets.serving.rights import EMBEDDINGS, IDENTIFY
from face_assets.serving.triton_server import Ports

DEPLOY = Path(__file__).parents[3] / "deploy"
BASE = "debian:bookworm-slim"


@dataclass
class Box:
    """The containers of a state directory, for the tests."""

    kit: Any
    folder: Path
    base: str
    ports: Ports
    home: str

    def target(self, **changes: Any) -> ContainerTarget:
        """The target of this home; changes: size, listeners."""
        docker = DockerEngine(self.home)
        recipe = Recipe(DEPLOY, self.base, None, "face-assets-test/recognizer")
        images = Images(docker, recipe, self.folder / "models", self.folder / "logs")

        def build(version: ModelVersion) -> str:
            return images.release(version, {"org.opencontainers.image.version": version.release}).name

        values = {"size": Size(1, 1024, 2.0), "listeners": Listeners("127.0.0.1", self.ports, Limits(0, 20.0)), **changes}
        return ContainerTarget(self.folder / "containers", docker, images, build, **values)

    def listeners(self, target: ContainerTarget, **changes: Any) -> ContainerTarget:
        """The target with other listeners."""
        return self.target(listeners=replace(target.listeners, **changes))

    def budget(self, **changes: Any) -> Serving:
        """Returns the budget of a deployment in the tests."""
        return Serving(**{**self.kit.budget.model_dump(), "canary_seconds": 2.0, "canary_share": 0.3, **changes})

    def write(self, release: str, **changes: Any) -> ModelVersion:
        """The version folders of a release of the kit's."""
        version: ModelVersion = self.kit.write(self.folder / "models", release, **changes)
        return version

    def deploy(self, target: ContainerTarget, release: str) -> ModelVersion:
        """Makes a release live, without waiting for a canary's verdict."""
        version = self.write(release)
        target.deploy(version, self.kit.golden_requests(release), self.budget(canary_seconds=0.0))
        return version

    def asker(self, key: str) -> RecognizerClient:
        """A client as a caller has it, at the published port."""
        return RecognizerClient(f"127.0.0.1:{self.ports.grpc}", key=key)

    def containers(self) -> list[str]:
        """The names of this home's containers, without its prefix."""
        return [container.name.removeprefix(f"face-assets-{self.home}-") for container in DockerEngine(self.home).containers()]


@pytest.fixture(scope="session")
def make_box(
    kit: Any, base_image: str, tmp_path_factory: pytest.TempPathFactory, free_ports: Callable[[int], list[int]]
) -> Iterator[Callable[[], Box]]:
    """Makes state directories, and removes their objects from the engine."""
    made: list[Box] = []

    def make() -> Box:
        folder = tmp_path_factory.mktemp("home")
        made.append(Box(kit, folder, base_image, Ports(*free_ports(3)), f"test{secrets.token_hex(3)}"))
        (folder / "containers").mkdir()
        return made[-1]

    yield make
    for box in made:
        target = box.target()
        target.stop()
        target.images.sweep(set())


@pytest.fixture(scope="session")
def box(make_box: Callable[[], Box]) -> Box:
    """One state directory for all tests; a test that needs a live release deploys it."""
    return make_box()


@pytest.fixture(scope="session")
def target(box: Box) -> ContainerTarget:
    """Its containers, with v1.0.0 live at the beginning."""
    made = box.target()
    box.deploy(made, "v1.0.0")
    return made


@pytest.fixture
def live(box: Box, target: ContainerTarget) -> ContainerTarget:
    """The containers with v1.0.0 live."""
    target.start()
    status = target.status()
    if not status.live or status.live.release != "v1.0.0" or not status.ready:
        box.deploy(target, "v1.0.0")
    return target


@pytest.fixture(scope="session")
def key(target: ContainerTarget) -> str:
    """A caller's key, with which embeddings are returned too."""
    made = target.gateway.keys.add("caller", [IDENTIFY, EMBEDDINGS])
    target.gateway.apply_keys()
    return made
