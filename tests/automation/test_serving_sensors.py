"""The stage and health sensors on a real repository and instance: one deployment for a cause, and none for what is well."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from face_assets.automation import health_sensor as health
from face_assets.automation.health_sensor import health_sensor
from face_assets.automation.machine_sensor import machine_sensor
from face_assets.automation.schedules import weekly_training
from face_assets.automation.stage_sensor import deployment_under_way, promotion_lock, stage_sensor
from face_assets.cli.releases import resume_following
from face_assets.core.errors import UserError
from face_assets.core.files import write_json
from face_assets.core.settings import load_settings
from face_assets.event_log.dead_runs import close_dead_runs
from face_assets.orchestration.jobs import COMMIT_TO_LIVE, DEPLOY_PRODUCTION
from face_assets.orchestration.tags import is_training_asked
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.registry.git import git
from face_assets.registry.releases import Digests, Lineage, Release
from face_assets.registry.workspace import Workspace
from face_assets.serving import machine_state
from face_assets.serving.machine_state import record_attempt, record_stop
from face_assets.storage.home import Home
from tests.waiting import until_the_next_second


@dataclass
class Registry:
    """Two releases of one commit, registered, and the sensors' looks at their stages."""

    repository: Path
    home: Path
    workspace: Workspace
    releases: list[Release]
    instance: dg.DagsterInstance
    cursor: str | None = None
    said: str = ""
    events: list[Any] = field(default_factory=list)

    def look(self, sensor: dg.SensorDefinition = stage_sensor) -> list[dg.RunRequest]:
        """Run requests of a tick."""
        with dg.build_sensor_context(self.instance, cursor=self.cursor) as context:
            found = sensor(context, platform=WorkspaceResource())
        if isinstance(found, dg.SkipReason):
            self.said = str(found.skip_message)
            return []
        assert isinstance(found, dg.SensorResult)
        self.cursor, self.events = found.cursor, list(found.asset_events)
        self.said = str(found.skip_reason.skip_message) if found.skip_reason else ""
        return list(found.run_requests or [])

    def is_live(self, release: Release) -> None:
        """As the embedded target writes it down."""
        version = {"number": 1, "release": release.version, "release_commit": release.commit, "digest": ""}
        write_json(Home(self.home).serving / "state.json", {"live": version, "previous": None})

    def run(self, job: str, status: dg.DagsterRunStatus, **tags: str) -> None:
        """A run of the event log."""
        self.instance.add_run(dg.DagsterRun(job, status=status, tags={key.replace("__", "/"): value for key, value in tags.items()}))


@pytest.fixture
def registry(released: tuple[Path, list[Release]], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    original, releases = released
    repository = tmp_path / "data"
    shutil.copytree(original, repository)
    monkeypatch.setenv("FACE_ASSETS_REPO", str(repository))
    workspace = Workspace(load_settings())
    workspace.repository.refresh()
    with dg.instance_for_test() as instance:
        yield Registry(repository, home, workspace, releases, instance)


def test_a_tag_from_another_clone_deploys_and_says_who_set_it(registry: Registry, tmp_path: Path) -> None:
    assert registry.look() == []
    registry.workspace.stages.assign("v1.0.0", "The first")
    registry.is_live(registry.releases[0])
    assert registry.look() == []
    assert "live already" in registry.said
    clone = tmp_path / "colleague"
    git("clone", "-q", str(registry.repository), str(clone))
    gto = [str(Path(sys.executable).with_name("gto")), "assign", "face-recognizer", "--version", "v2.0.0", "--stage", "production"]
    until_the_next_second()
    subprocess.run(gto, cwd=clone, check=True, capture_output=True)
    git("push", "-q", "origin", "--tags", cwd=clone)
    (asked,) = registry.look()
    assert asked.tags["face_assets/stage_tag"] == "face-recognizer#production#2"
    assert asked.tags["face_assets/author"] == "Ann"
    assert registry.look() == []


def test_a_release_that_a_run_is_about_to_deploy_is_left_to_it(registry: Registry) -> None:
    commit = registry.releases[0].trained_commit
    registry.workspace.stages.assign("v1.0.0", f"The gate let it through, for commit {commit}")
    registry.run(COMMIT_TO_LIVE, dg.DagsterRunStatus.STARTED, dagster__partition=commit)
    assert registry.look() == []
    assert "about to be deployed" in registry.said
    registry.instance.report_run_failed(registry.instance.get_runs()[0])
    assert len(registry.look()) == 1  # the run ended without deploying it


def test_a_command_that_promotes_deploys_by_itself(registry: Registry) -> None:
    with promotion_lock(registry.home):
        registry.workspace.stages.assign("v1.0.0", "by hand")
        assert registry.look() == []
        registry.is_live(registry.releases[0])
    assert registry.look() == []
    assert "live already" in registry.said


def test_a_server_that_was_killed_is_brought_back_and_one_that_was_stopped_is_not(registry: Registry) -> None:
    registry.workspace.stages.assign("v1.0.0", "The first")
    registry.is_live(registry.releases[0])
    assert registry.look(health_sensor) == []
    record = Home(registry.home).serving / "server.json"
    with subprocess.Popen(["sleep", "60"]) as process:
        process.kill()
    write_json(record, {"pid": process.pid, "began": 1})
    assert registry.look(health_sensor) == []  # it may be late once
    (asked,) = registry.look(health_sensor)
    assert asked.tags["face_assets/trigger"] == "health"
    assert "gone" in asked.tags["face_assets/name"]
    assert registry.look(health_sensor) == []  # a pause before the next attempt
    assert json.loads(registry.cursor or "")["asked"] == 1
    record.unlink()
    assert registry.look(health_sensor) == []
    assert registry.said == "Nothing is wrong."


def test_what_this_machine_serves_is_observed_at_each_change_and_published_when_it_lasts(registry: Registry) -> None:
    refs = ("for-each-ref", "--format=%(contents)", "refs/face-assets/machines")
    registry.workspace.stages.assign("v1.0.0", "The first")
    registry.look(machine_sensor)
    (event,) = registry.events
    assert {name: event.metadata[name].value for name in ("wanted", "live", "trouble")} == {
        "wanted": "v1.0.0", "live": "none", "trouble": "server down",
    }  # fmt: skip
    assert git(*refs, cwd=registry.repository) == b"", "what lasts for one look alone is not pushed"
    registry.look(machine_sensor)
    assert registry.events == []
    state = json.loads(git(*refs, cwd=registry.repository))
    assert (state["wanted"], state["live"], state["trouble"]) == ("v1.0.0", None, "server down")
    assert state["machine"].startswith("machine-")
    registry.workspace.stages.assign("v2.0.0", "The next")
    registry.look(machine_sensor)
    assert [event.metadata["wanted"].value for event in registry.events] == ["v2.0.0"]


def test_a_machine_that_could_not_deploy_tries_again_and_the_next_assignment_at_once(registry: Registry) -> None:
    """No server was ever started here, as on a machine without a Triton."""
    first = registry.workspace.stages.assign("v1.0.0", "The first")
    assert first
    assert [registry.look(health_sensor) for _ in range(3)] == [[], [], []], "nothing was tried, so nothing is to be brought back"
    record_attempt(registry.workspace, first, None, UserError("/home/ann has no Triton"))
    assert registry.look(health_sensor) == []
    (asked,) = registry.look(health_sensor)
    assert "/home/ann has no Triton" in asked.tags["face_assets/name"]
    assert registry.look(health_sensor) == [], "a pause before the next attempt"
    assert json.loads(registry.cursor or "")["about"] == first.tag
    registry.workspace.stages.assign("v2.0.0", "The next")
    assert registry.look(health_sensor) == []
    assert len(registry.look(health_sensor)) == 1, "another assignment does not wait for the pause of the one before"
    record_stop(registry.workspace)
    assert registry.look(health_sensor) == []
    assert registry.said == "Nothing is wrong."


def test_a_machine_that_goes_on_failing_tries_ever_more_rarely_until_a_person_says_so(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1e9
    monkeypatch.setattr(health, "time", SimpleNamespace(time=lambda: now))
    monkeypatch.setattr(machine_state, "time", SimpleNamespace(time=lambda: now))
    assignment = registry.workspace.stages.assign("v1.0.0", "The first")
    assert assignment
    record_attempt(registry.workspace, assignment, None, UserError("no Triton"))
    assert registry.look(health_sensor) == []
    pauses = []
    for _ in range(13):
        assert len(registry.look(health_sensor)) == 1
        pauses.append(json.loads(registry.cursor or "")["next_try"] - now)
        now += pauses[-1] - 1.0
        assert registry.look(health_sensor) == []
        now += 1.0
    assert pauses == [*(15.0 * 2**power for power in range(10)), 14400.0, 14400.0, 14400.0]
    now -= 7200.0
    resume_following("", quiet=True)
    now += 5.0
    assert registry.look(health_sensor) == []
    now += 5.0
    assert len(registry.look(health_sensor)) == 1
    assert json.loads(registry.cursor or "")["asked"] == 1
    now += 10.0
    assert registry.look(health_sensor) == [], "it was asked for once"


def test_no_second_deployment_is_asked_for_while_one_is_under_way(registry: Registry) -> None:
    registry.workspace.stages.assign("v1.0.0", "The first")
    registry.is_live(registry.releases[0])
    write_json(Home(registry.home).serving / "server.json", {"pid": 2**22, "began": 1})
    registry.run(DEPLOY_PRODUCTION, dg.DagsterRunStatus.STARTING)
    for _ in range(3):
        assert registry.look(health_sensor) == []
    assert "deals with it" in registry.said


def test_a_release_that_nobody_is_about_to_deploy_is_trouble_and_one_that_is_is_not(registry: Registry) -> None:
    """The server cannot be asked here, so what is looked at is whether it is taken for lost."""
    commit = registry.releases[0].trained_commit
    registry.workspace.stages.assign("v1.0.0", f"The gate let it through, for commit {commit}")
    assignment = registry.workspace.stages.production()
    assert deployment_under_way(registry.instance, registry.workspace, assignment) is None
    registry.run(COMMIT_TO_LIVE, dg.DagsterRunStatus.STARTED, dagster__partition=commit)
    assert deployment_under_way(registry.instance, registry.workspace, assignment)
    assert deployment_under_way(registry.instance, registry.workspace, None) is None  # a server that is gone does not wait for it


SLEEPING = """
import sys, time
import dagster as dg

@dg.asset(pool="training")
def sleeper():
    print("asleep", flush=True)
    time.sleep(60)

with dg.DagsterInstance.from_config(sys.argv[1]) as instance:
    dg.materialize([sleeper], instance=instance)
"""


@pytest.mark.slow
def test_a_run_whose_process_was_killed_is_closed_and_its_pool_is_free(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("concurrency: {pools: {default_limit: 1}}\ntelemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        command = [sys.executable, "-c", SLEEPING, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout
            assert process.stdout.readline() == b"asleep\n"
            assert close_dead_runs(instance) == []
            os.kill(process.pid, signal.SIGKILL)
        (run,) = instance.get_runs()
        assert instance.event_log_storage.get_concurrency_info("training").claimed_slots
        assert close_dead_runs(instance) == [run.run_id]
        assert instance.get_runs()[0].status == dg.DagsterRunStatus.FAILURE
        assert not instance.event_log_storage.get_concurrency_info("training").claimed_slots
        assert close_dead_runs(instance) == []


def test_a_weekly_training_is_requested_once_for_a_commit_that_kept_an_earlier_embedder(
    registry: Registry, bundle: Callable[[bytes], Path]
) -> None:
    def tick() -> dg.RunRequest | str:
        with dg.build_schedule_context(registry.instance) as context:
            found = weekly_training(context, platform=WorkspaceResource())
        return found if isinstance(found, dg.RunRequest) else str(found.skip_message)

    assert tick() == "No release is in production yet."
    registry.workspace.stages.assign("v1.0.0", "The first")
    assert "has the embedder that was trained for its own commit" in str(tick())
    commit = registry.releases[0].trained_commit
    facts = {"trained_commit": commit, "trained_time": "2026-11-03", "kept_from": "v1.0.0", "photos_since": 3, "people_since": 1}
    made = bundle(b"3")
    registry.workspace.releases.register(made, commit, "3", Digests("3", "a", "a"), {}, {}, lambda: Lineage("v1.0.0", (), "", {}, facts))
    registry.workspace.stages.assign("v3.0.0", "It was kept", again=True)
    asked = tick()
    assert isinstance(asked, dg.RunRequest) and is_training_asked(asked.tags)
    assert (asked.partition_key, asked.run_key) == (commit, f"training:{commit}")
    assert registry.instance.has_dynamic_partition("commit", commit)
