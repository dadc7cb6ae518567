"""Start of `run`: certain failures are reported before any work is done."""

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner

from definitions import defs
from face_assets.cli.main import main
from face_assets.core.settings import remember
from face_assets.event_log.outcomes import read_outcome
from face_assets.orchestration.jobs import COMMIT_TO_EVALUATION
from face_assets.orchestration.partitions import add_commit
from face_assets.registry.git import git
from face_assets.registry.workspace import Workspace
from tests.small_disk import SmallDisk
from tests.waiting import until

Ports = Callable[[int], list[int]]


@pytest.fixture(autouse=True)
def own_ports(home: Path, free_ports: Ports, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    ports = dict(zip(("HTTP_PORT", "GRPC_PORT", "METRICS_PORT"), free_ports(3), strict=True))
    for name, port in ports.items():
        monkeypatch.setenv(f"FACE_ASSETS_{name}", str(port))
    return ports


def refused_start(home: Path, source: Path | str, *arguments: str) -> str:
    """Returns the message of a `run` that ends before anything runs."""
    done = CliRunner().invoke(main, ["run", "--repo", str(source), *arguments])
    assert done.exit_code == 1, done.output
    assert not (home / "dagster").exists()
    return done.output


def with_weights(repository: Path, weights: str) -> Path:
    (repository / "params.yaml").write_text(f"embedder: {{weights: {weights}}}\ntrain: {{epochs: 1}}\n")
    git("commit", "-q", "-a", "-m", "Other weights", cwd=repository)
    return repository


def test_a_taken_port_and_an_engine_that_is_not_there(
    repository: Path, home: Path, own_ports: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_weights(repository, "scratch")
    with socket.create_server(("127.0.0.1", own_ports["GRPC_PORT"])):
        monkeypatch.setenv("FACE_ASSETS_TARGET", "docker")
        monkeypatch.setenv("DOCKER_HOST", f"unix://{home}/docker.sock")
        said = refused_start(home, repository)
    assert "set FACE_ASSETS_GRPC_PORT to a free one" in said
    assert "No Docker engine responds" in said


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
        (b"PK\x03\x04 and no more", "ends too early"),
        (b"<html>404</html>", "is neither a state_dict of PyTorch nor an HDF5 file"),
        (None, "does not exist"),
    ],
)
def test_weights_that_cannot_be_loaded(content: bytes | None, found: str, repository: Path, home: Path, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "weights.pt").write_bytes(content)
    assert found in refused_start(home, with_weights(repository, str(tmp_path / "weights.pt")), "--until", "evaluation")


def test_a_disk_without_room(repository: Path, home: Path, make_disk: Callable[[Path, int], SmallDisk]) -> None:
    home.parent.mkdir(exist_ok=True)
    make_disk(home, 40).leave(10)
    assert "The disk is full, but for 10 MB" in refused_start(home, with_weights(repository, "scratch"))


@pytest.fixture
def served_read_only(repository: Path, free_ports: Ports) -> Iterator[str]:
    """The URL of the repository behind git's own daemon, which takes no pushes."""
    with_weights(repository, "scratch")
    port = free_ports(1)[0]
    command = ["git", "daemon", "--export-all", "--listen=127.0.0.1", f"--port={port}", f"--base-path={repository.parent}"]
    daemon = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ, start_new_session=True)
    try:
        assert until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        yield f"git://127.0.0.1:{port}/data"
    finally:
        os.killpg(daemon.pid, signal.SIGKILL)  # it may start with TERM ignored
        daemon.wait(30)


def test_a_repository_that_takes_no_tags(served_read_only: str, home: Path) -> None:
    said = refused_start(home, served_read_only)
    assert f"No tag can be pushed to {served_read_only}" in said
    assert "A release is registered by a tag there" in said


def test_a_run_of_a_sensor_or_the_ui_ends_in_its_first_step_with_the_same_sentence(repository: Path, home: Path, tmp_path: Path) -> None:
    with_weights(repository, str(tmp_path / "weights.pt"))
    said = refused_start(home, repository, "--until", "evaluation")
    remember(repo=str(repository))
    commit = Workspace.load().repository.resolve("HEAD")
    with dg.DagsterInstance.ephemeral() as instance:
        add_commit(instance, commit)
        job = defs.resolve_job_def(COMMIT_TO_EVALUATION)
        done = job.execute_in_process(instance=instance, partition_key=commit, raise_on_error=False)
        outcome = read_outcome(instance, instance.get_run_records()[0])
    assert not done.success
    assert "does not exist" in outcome.reason and outcome.reason in said
    assert not (home / "artifacts" / "dataset_version").exists()
