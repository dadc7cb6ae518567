"""Fixtures of all tests: the real photos where they are, and a state directory of its own for each test that uses one."""

import os
import random
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from face_assets.core.files import file_lock, new_directory
from face_assets.dataset.repository_creation import create_repository
from face_assets.detection.facenet_pytorch import export_detector
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.git import git
from face_assets.registry.releases import Digests, Release, Releases
from tests.far_end import FarEnd
from tests.small_disk import SmallDisk

settings.register_profile("tests", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")  # no clock and no chance

BASE = "debian:bookworm-slim"
REAL_DATA = "FACE_ASSETS_REAL_DATA"
EXTENDED = (
    *("/containers/", "e2e/test_compose", "e2e/test_platform_image.py"),
    *("e2e/test_kills.py", "e2e/test_full_disk.py", "e2e/test_triggers.py", "serving/test_three_homes.py"),
)
"""Places of the tests that `make test-all` alone runs: Docker and Compose, kills, full disks, many commits in a row."""
SERVERS = {"target", "cli"}
"""The fixtures that start Triton or the whole platform: who asks for one is slow."""
PORTS = range(20_000, 32_000)  # below those that the kernel gives to callers, who would take a server's while it is down
# several processes share the cores: torch's threads would spend most of the time spinning while they wait for each other
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # of those that ask for more
os.umask(UMASK := 0o022)  # of a person: importing the definitions sets that of the platform
WORKER, WORKERS = (
    int(os.environ.get(name, default).removeprefix("gw"))
    for name, default in (("PYTEST_XDIST_WORKER", "0"), ("PYTEST_XDIST_WORKER_COUNT", "1"))
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Real-face tests run where the photos are; elsewhere they alone are skipped, and say why. Those of a GPU run where `-m` names them.

    What takes long comes first, so that no worker is left with it at the end.
    """
    if "gpu" not in config.option.markexpr:
        left_out = [item for item in items if item.get_closest_marker("gpu")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    items.sort(key=lambda item: (not uses_engine(item.nodeid), "tests/e2e/" not in item.nodeid))
    for item in items:
        if item.get_closest_marker("real") or any(place in item.nodeid for place in EXTENDED):
            item.add_marker(pytest.mark.extended)
        if SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("real") and not os.environ.get(REAL_DATA):
            item.add_marker(pytest.mark.skip(reason=f"{REAL_DATA} is not set: no real photos on this machine"))


def pytest_collection_finish() -> None:
    """Collected tests import the definitions, which set the umask of the platform: fixtures of modules come before that of each test."""
    os.environ.pop("FACE_ASSETS_UMASK", None)
    os.umask(UMASK)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Gives each worker whole files, and one of them all that use the Docker engine."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "engine" if uses_engine(nodeid) else super()._split_scope(nodeid)

    return Scheduling(config, log)


def uses_engine(nodeid: str) -> bool:
    """True for a test that needs the Docker engine."""
    return any(part in nodeid for part in ("/containers/", "test_compose.py", "test_platform_image.py", "test_main_job.py"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with lfw/ and weights/."""
    return Path(os.environ[REAL_DATA])


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The detector's networks, exported once for all workers, to be read."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if WORKERS > 1 else base) / "detector"
    with file_lock(folder.with_name(".detector.lock")):
        if not folder.is_dir():
            with new_directory(folder) as aside:
                export_detector(aside)
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh FACE_ASSETS_HOME, with no other setting in the environment."""
    for name in [name for name in os.environ if name.startswith("FACE_ASSETS_") and name not in (REAL_DATA, "FACE_ASSETS_SERVING_ENV")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FACE_ASSETS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="session")
def free_ports() -> Callable[[int], list[int]]:
    """Gives so many ports that nobody listens on, and none of them twice, nor to two workers."""
    ours = PORTS[WORKER::WORKERS]
    shuffled = iter(random.sample(ours, len(ours)))

    def free(count: int) -> list[int]:
        found: list[int] = []
        while len(found) < count:
            port = next(shuffled)
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)):
                    found.append(port)
        return found

    return free


@pytest.fixture(scope="session")
def base_image() -> str:
    """The base image, made where it cannot be pulled. Without an engine the tests are skipped, and fail in CI."""
    if shutil.which("docker") is None or subprocess.run(["docker", "info"], capture_output=True).returncode:
        if os.environ.get("CI"):
            pytest.fail("no Docker engine answers, and CI must have one")
        pytest.skip("no Docker engine answers")
    subprocess.run([str(Path(__file__).parents[1] / "deploy" / "base-image.sh"), BASE], check=True)
    return BASE


@pytest.fixture
def make_disk() -> Iterator[Callable[[Path, int], SmallDisk]]:
    """Makes a folder a disk of so many MB."""
    made: list[SmallDisk] = []

    def make(folder: Path, size: int) -> SmallDisk:
        made.append(SmallDisk(folder, size))
        return made[-1]

    yield make
    for disk in made:
        disk.unmount()


PEOPLE = ("Ann", "Bob", "Zoë Müller")


@pytest.fixture(autouse=True)
def umask(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of a person, whatever an earlier test made of it."""
    monkeypatch.delenv("FACE_ASSETS_UMASK", raising=False)
    os.umask(UMASK)


@pytest.fixture(autouse=True)
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Git knows who commits, whatever the machine says."""
    name_somebody(monkeypatch)


def name_somebody(patch: pytest.MonkeyPatch) -> None:
    """Names the author of commits."""
    for who in ("AUTHOR", "COMMITTER"):
        patch.setenv(f"GIT_{who}_NAME", "Ann")
        patch.setenv(f"GIT_{who}_EMAIL", "ann@example.org")


@pytest.fixture(scope="session")
def make_photos() -> Callable[[Path], Path]:
    """Fills a folder with files in place of photos, for what does not look into them."""

    def make(folder: Path) -> Path:
        for person in PEOPLE:
            (folder / person).mkdir(parents=True)
            for number in range(2):
                (folder / person / f"{number} a.jpg").write_bytes(os.urandom(2000))
        return folder

    return make


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory, make_photos: Callable[[Path], Path]) -> Path:
    """A data repository made once, for the tests to copy."""
    folder = tmp_path_factory.mktemp("original")
    photos = make_photos(folder / "photos")
    create_repository(folder / "data", photos, "train: {epochs: 1}\n", None, None)
    return folder / "data"


@pytest.fixture
def repository(original: Path, tmp_path: Path) -> Path:
    """A data repository of the test's own, with a DVC remote of its own."""
    return copied(original, tmp_path)


def copied(original: Path, folder: Path) -> Path:
    """A copy of a data repository in the folder, with a DVC remote of its own."""
    for name in ("data", "data.dvc-remote"):
        shutil.copytree(original.with_name(name), folder / name)
    config = folder / "data" / ".dvc" / "config"
    config.write_text(config.read_text().replace(str(original.parent), str(folder)))
    git("commit", "-q", "-a", "--amend", "--no-edit", cwd=folder / "data")
    return folder / "data"


@pytest.fixture(scope="session")
def released(original: Path, bundle: Callable[[bytes], Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Release]]:
    """A data repository with two releases of its commit, v1.0.0 and v2.0.0, made once, for the tests to copy without its DVC remote."""
    folder = tmp_path_factory.mktemp("released")
    with pytest.MonkeyPatch.context() as patch:
        name_somebody(patch)
        repository = DataRepository(str(copied(original, folder)), folder / "home")
        commit, releases = repository.resolve("HEAD"), Releases(repository)
        made = [
            releases.register(bundle(space), commit, f"inputs {space!r}", Digests(space.decode(), "a", "a"), {"auc": 0.9}, {})
            for space in (b"1", b"2")
        ]
    return folder / "data", made


@pytest.fixture
def far_end(free_ports: Callable[[int], list[int]]) -> Iterator[FarEnd]:
    """A webhook's far end."""
    there = FarEnd(free_ports(1)[0])
    there.may_answer.set()
    there.up()
    yield there
    there.may_answer.set()
    there.down()


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], Path]:
    """Makes a new bundle of that content, as far as the registry looks into it."""

    def make(content: bytes) -> Path:
        folder = tmp_path_factory.mktemp("bundle")
        (folder / "detector").mkdir()
        (folder / "embedder.bin").write_bytes(content * 1000)
        (folder / "detector" / "pnet.xml").write_text("<net/>")
        return folder

    return make


@pytest.fixture
def photos(tmp_path: Path, make_photos: Callable[[Path], Path]) -> Path:
    return make_photos(tmp_path / "photos")
