"""Alignment in shards, as `face-assets align` runs it: the same crops as one process, and a shard that was killed is rerun alone."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest

from face_assets.automation import execute
from face_assets.core.fingerprint import tree_digest
from face_assets.core.settings import remember
from face_assets.dataset.repository_creation import create_repository
from face_assets.dataset.steps import version_dataset
from face_assets.demo.synthetic import write_people
from face_assets.detection.detectors import crop_store
from face_assets.detection.shards import Shard, align_shard, gather_shards, plan_shards
from face_assets.detection.steps import align_dataset
from face_assets.event_log.instance import open_instance
from face_assets.orchestration.tags import PARTITION
from face_assets.registry.workspace import Workspace
from face_assets.storage.content_store import ContentStore
from face_assets.storage.home import Home

PEOPLE, PHOTOS = 6, 3
SHARDS = 2

pytestmark = pytest.mark.slow


def nothing(*_: object) -> None:
    """No progress to show."""


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data repository of synthetic people, with a photo that is broken."""
    folder = tmp_path_factory.mktemp("people")
    write_people(folder / "photos", PEOPLE, PHOTOS)
    first = min((folder / "photos").rglob("*.jpg"))
    (first.parent / "broken.jpg").write_bytes(first.read_bytes()[:2000])
    create_repository(folder / "data", folder / "photos", "detector: {image_size: 80, margin: 16, align: upright}\n", None, None)
    return folder / "data"


@pytest.fixture
def workspace(people: Path, home: Path) -> Workspace:
    """A fresh home that follows it."""
    remember(repo=str(people))
    return Workspace.load()


def of_one_process(workspace: Workspace, commit: str, home: Path) -> tuple[dict[str, object], str]:
    """The facts of an alignment without shards."""
    other = Workspace(workspace.settings.model_copy(update={"home": home}))
    artifact = align_dataset(other, commit, version_dataset(other, commit, nothing), nothing)
    return contents(crop_store(other, other.params(commit).detector)), picture(artifact.directory)


def contents(store: ContentStore) -> dict[str, object]:
    with closing(sqlite3.connect(store.path)) as connection:
        return {key: rest for key, *rest in connection.execute("SELECT key, facts, blob FROM entries")}


def picture(directory: Path) -> str:
    (directory / "summary.json").unlink()  # seconds, and where the home is
    return tree_digest(directory)


def test_shards_give_what_one_process_gives_and_a_killed_one_is_rerun_alone(workspace: Workspace, tmp_path: Path) -> None:
    workspace.repository.refresh()
    commit = workspace.repository.resolve("HEAD")
    command = [str(Path(sys.executable).with_name("face-assets")), "align", "--shards", str(SHARDS), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        killed = kill_a_shard(workspace.home, run)
        said = run.communicate()[0]
    assert run.returncode == 1, said
    assert "aligned_shard" in said
    with open_instance(workspace.home) as instance:
        failed = instance.get_runs(limit=1)[0]
        assert instance.get_run_stats(failed.run_id).steps_succeeded == SHARDS  # the plan and the other shard
        again = dg.ReexecutionOptions.from_failure(failed.run_id, instance)
        recipe = dg.reconstructable(execute.align_in_processes)
        with dg.execute_job(recipe, instance, tags={PARTITION: commit}, reexecution_options=again) as result:
            assert result.success
            ran = {event.step_key for event in result.all_events if event.event_type == dg.DagsterEventType.STEP_START}
    assert ran == {killed, "gathered_shards"}
    assert gather_shards(workspace, commit, nothing) == 0
    artifact = align_dataset(workspace, commit, version_dataset(workspace, commit, nothing), nothing)
    assert artifact.summary["detected_now"] == 0
    alone = of_one_process(workspace, commit, tmp_path / "alone")
    assert (contents(crop_store(workspace, workspace.params(commit).detector)), picture(artifact.directory)) == alone


def kill_a_shard(home: Home, run: "subprocess.Popen[str]") -> str:
    """Kills the process of the first shard that begins; returns the step."""
    with open_instance(home) as instance:
        ends = time.monotonic() + 120
        while time.monotonic() < ends:
            assert run.poll() is None, run.communicate()[0]
            for known in instance.get_runs(limit=1):
                for record in instance.get_records_for_run(known.run_id, of_type=dg.DagsterEventType.STEP_START).records:
                    event = record.event_log_entry.dagster_event
                    if event and event.pid and str(event.step_key).startswith("aligned_shard"):
                        os.kill(event.pid, signal.SIGKILL)
                        return str(event.step_key)
            time.sleep(0.05)
    raise AssertionError("no shard began")


def test_a_shard_holds_the_same_photos_whatever_is_there_and_none_twice(workspace: Workspace) -> None:
    workspace.repository.refresh()
    commit = workspace.repository.resolve("HEAD")
    wanted = plan_shards(workspace, commit, SHARDS, nothing)
    assert [align_shard(workspace, shard, 1, nothing) for shard in wanted[:1]] > [0]
    assert [align_shard(workspace, shard, 1, nothing) for shard in wanted[:1]] == [0]
    with pytest.raises(Exception, match="aligned by no shard"):
        gather_shards(workspace, commit, nothing)
    assert [shard for shard in plan_shards(workspace, commit, 2 * SHARDS, nothing) if shard.index % SHARDS == 1]
    rest = sum(align_shard(workspace, shard, 1, nothing) for shard in wanted)
    assert 0 < rest < PEOPLE * PHOTOS + 1
    assert gather_shards(workspace, commit, nothing) == rest
    assert plan_shards(workspace, commit, SHARDS, nothing) == []
    assert [sum(Shard(commit, index, 7).holds(f"{number:032x}") for index in range(7)) for number in range(100)] == [1] * 100
