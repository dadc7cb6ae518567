"""Docker engine with a full disk: an error, the images stay, and builds succeed once there is space."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from face_assets.core.errors import UserError
from face_assets.serving.containers import builder
from face_assets.serving.containers.docker_engine import DockerEngine, docker_errors
from tests.small_disk import SmallDisk

DISK, RELEASE = 100, 20  # MB

pytestmark = pytest.mark.slow


@pytest.fixture
def disk(
    base_image: str, make_disk: Callable[[Path, int], SmallDisk], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SmallDisk]:
    """The disk of a second engine, which DOCKER_HOST names."""
    address, made = f"unix://{tmp_path}/docker.sock", make_disk(tmp_path / "disk", DISK)
    sockets = tempfile.mkdtemp()  # their paths may have 107 characters
    command = ["unshare", "--net", "dockerd"]  # in a network of its own: without a bridge it removes the one that it finds
    command += ["--data-root", str(made.folder / "docker"), "--exec-root", sockets, "--pidfile", str(tmp_path / "pid")]
    command += ["--host", address, "--bridge", "none", "--iptables=false"]
    with open(tmp_path / "log", "wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as engine:
        monkeypatch.setenv("DOCKER_HOST", address)
        try:
            ends = time.monotonic() + 60
            while subprocess.run(["docker", "info"], capture_output=True).returncode:
                assert time.monotonic() < ends and engine.poll() is None, (tmp_path / "log").read_text()[-2000:]
                time.sleep(0.2)
            yield made
        finally:
            engine.terminate()
            engine.wait(60)
            shutil.rmtree(sockets, ignore_errors=True)


def test_an_engine_whose_disk_is_full_says_so_keeps_what_it_has_and_builds_once_there_is_space(disk: SmallDisk, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (tmp_path / "Dockerfile").write_text('FROM scratch\nCOPY models /models\nCMD ["/models"]\n')

    def build(release: bytes) -> None:
        (context / "models").write_bytes(release * (RELEASE * 1_000_000))
        builder.build(tmp_path / "Dockerfile", context, "full:1", None, {}, {}, lambda line: None)

    build(b"1")
    docker = DockerEngine("full")
    before = docker.image("full:1").id
    disk.leave(5)
    with pytest.raises(UserError, match="disk is full, so full:1 could not be built"):
        build(b"2")
    assert docker.image("full:1").id == before
    disk.leave(0)
    with pytest.raises(UserError, match="disk of the Docker engine is full"), docker_errors("start a server"):
        for _ in range(50):  # each takes a few KB
            docker.client.api.create_container("full:1")
    disk.clear()
    build(b"2")
    assert docker.image("full:1").id != before
