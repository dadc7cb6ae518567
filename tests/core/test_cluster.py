"""Work on a Ray cluster of three nodes: the bytes of one process, whichever node is lost, joins, or is of another version."""

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from face_assets.core import cluster as core_cluster
from face_assets.core import cluster_task
from face_assets.core.cluster import Cluster, Folder, ray_cluster
from face_assets.core.errors import UserError
from face_assets.demo.synthetic import write_people
from face_assets.detection import alignment
from face_assets.detection.detector import DetectorConfig
from face_assets.storage.content_store import ContentStore

ROOT = str(Path(cluster_task.__file__).parents[2])
PEOPLE, PHOTOS = 6, 3

pytestmark = pytest.mark.slow


def nothing(*_: object) -> None:
    """No progress to show."""


class Machines:
    """A cluster of nodes on this machine, each with processes of its own, as the real nodes of one cluster."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster as Nodes

        soon = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 6}
        head = {"num_cpus": 1, "object_store_memory": 200 << 20, "include_dashboard": False, "_system_config": soon}
        self._nodes = Nodes(initialize_head=True, head_node_args=head | {"env_vars": {"PYTHONPATH": ROOT}})
        self.address = str(self._nodes.address)

    def add(self, package: str = ROOT) -> Any:
        """A new node of one processor. package: the folder of its face_assets."""
        return self._nodes.add_node(num_cpus=1, object_store_memory=100 << 20, env_vars={"PYTHONPATH": package})

    def kill(self, node: Any) -> None:
        """Kills a node's processes at once (SIGKILL)."""
        self._nodes.remove_node(node, allow_graceful=False)

    def stop(self) -> None:
        """Stops all."""
        import ray

        ray.shutdown()
        self._nodes.shutdown()


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    started = Machines()
    yield started
    started.stop()


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def cluster(machines: Machines, home: Path, lines: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.chdir(tmp_path)  # nodes on the same machine would import what lies in the working directory
    monkeypatch.setenv("FACE_ASSETS_RAY", machines.address)
    found = ray_cluster(lines.append)
    assert found
    return found


@dataclass(frozen=True)
class Squares:
    """Squares of numbers, on nodes that have memory for `most` at a time; -1 cannot be squared."""

    most: int = 100

    def open(self) -> Callable[[list[int]], list[int]]:
        def squares(numbers: list[int]) -> list[int]:
            if len(numbers) > self.most:
                raise MemoryError
            if -1 in numbers:
                raise UserError("-1 has a square, but not here.")
            return [number * number for number in numbers]

        return squares


def until(lines: list[str], *said: str) -> Iterator[list[int]]:
    """Batches until the log has all sentences: Ray notices what happens to a node in its own time."""
    for number in count():
        yield [number]
        if all(any(sentence in line for line in lines) for sentence in said):
            return


def contents(store: ContentStore) -> dict[str, Any]:
    with closing(sqlite3.connect(store.path)) as connection:
        return {key: rest for key, *rest in connection.execute("SELECT key, facts, blob FROM entries")}


def test_crops_equal_those_of_one_process_while_nodes_come_and_go(
    machines: Machines, cluster: Cluster, lines: list[str], networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_people(tmp_path / "people", PEOPLE, PHOTOS)
    files = sorted((tmp_path / "people").rglob("*.jpg"))
    photos = {hashlib.md5(file.read_bytes()).hexdigest(): file for file in files}
    (tmp_path / "broken.jpg").write_bytes(files[0].read_bytes()[:2000])
    photos["0" * 32] = tmp_path / "broken.jpg"
    monkeypatch.setattr(alignment, "BATCH", 1)
    several = set(list(photos)[::5])
    monkeypatch.setattr(alignment, "read_content", lambda path, md5: path.read_bytes())
    alone, together = (ContentStore(tmp_path / name) for name in ("alone.sqlite", "together.sqlite"))
    alignment.align_photos(photos, alone, networks, DetectorConfig(), 100.0, 1, nothing, several)
    lost, done = machines.add(), []

    def progress(number: int, whole: int) -> None:
        if not done:
            machines.kill(lost)
            machines.add()
        done.append((number, whole))

    alignment.align_photos(photos, together, networks, DetectorConfig(), 100.0, 1, progress, several, cluster)
    assert contents(together) == contents(alone)
    assert done[-1] == (len(photos), len(photos))
    assert "2 nodes with 2 processors" in lines[0]
    list(cluster.results(Squares(), until(lines, "joined the cluster", "is lost: its batches are done again")))


def test_a_node_with_other_code_gets_no_work(machines: Machines, cluster: Cluster, lines: list[str], tmp_path: Path) -> None:
    (tmp_path / "other" / "face_assets").mkdir(parents=True)
    (tmp_path / "other" / "face_assets" / "__init__.py").write_text("raise RuntimeError('never imported')\n")
    other = machines.add(str(tmp_path / "other"))
    found = list(cluster.results(Squares(), until(lines, "gets no work")))
    assert found == [[number * number] for number in range(len(found))]
    refused = next(line for line in lines if "gets no work" in line)
    assert "the code of face_assets is " in refused
    assert other.node_id[:6] in refused
    machines.kill(other)


def test_where_every_node_has_another_library_the_run_ends_with_a_sentence(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_cluster, "versions_here", lambda same_processor: {"torch": "9.9.9"})
    with pytest.raises(
        UserError, match=r"No node of the Ray cluster has the versions of this machine\.\nNode .* torch is .*, here 9\.9\.9"
    ):
        list(cluster.results(Squares(), [[1]]))


def test_a_batch_that_is_too_large_for_a_node_is_halved(cluster: Cluster, lines: list[str]) -> None:
    assert list(cluster.results(Squares(most=2), [[1, 2, 3, 4, 5], [6]])) == [[1, 4, 9, 16, 25], [36]]
    assert "a node has too little memory for a batch of 5: two of 3 instead" in lines
    with pytest.raises(UserError, match="too little memory for a single photo"):
        list(cluster.results(Squares(most=0), [[1, 2]]))


def test_what_a_batch_may_not_be_is_said_as_on_one_machine(cluster: Cluster) -> None:
    with pytest.raises(UserError, match=r"^-1 has a square, but not here\.$"):
        list(cluster.results(Squares(), [[1], [-1], [2]]))


def test_without_the_setting_nothing_is_connected(home: Path) -> None:
    assert ray_cluster(nothing) is None


def test_a_folder_is_sent_by_content(tmp_path: Path) -> None:
    (tmp_path / "some" / "below").mkdir(parents=True)
    (tmp_path / "some" / "a.bin").write_bytes(b"1")
    sent = Folder.of(tmp_path / "some")
    shutil.rmtree(tmp_path / "some")
    with sent.written() as folder:
        assert [file.name for file in folder.iterdir()] == ["a.bin"]
    assert not folder.exists()
