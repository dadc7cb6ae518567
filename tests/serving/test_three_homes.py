"""Three machines on one data repository, one slow and one without a Triton: production says what gate and person said, and each machine
what it serves."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest

from face_assets.automation.health_sensor import find_trouble, health_sensor
from face_assets.automation.machine_sensor import machine_sensor
from face_assets.automation.stage_sensor import stage_sensor
from face_assets.core.errors import UserError
from face_assets.core.files import read_json, write_json, write_text
from face_assets.core.fingerprint import file_digest, fingerprint
from face_assets.core.project_files import SERVING_REQUIREMENTS
from face_assets.core.settings import Settings
from face_assets.dataset.repository_creation import create_repository
from face_assets.monitoring.triton_metrics import read_traffic
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.registry.decision import person_message
from face_assets.registry.git import git
from face_assets.registry.machines import MachineState, machines
from face_assets.registry.person import Person
from face_assets.registry.releases import Digests, Release
from face_assets.registry.workspace import Workspace
from face_assets.release.promotion import stage_release
from face_assets.serving import steps as serving
from face_assets.serving.machine_state import last_attempt, observe, trouble_of
from face_assets.serving.server_environment import READY
from tests.waiting import until

pytestmark = pytest.mark.slow

TOO_LITTLE, ENOUGH = 0.001, 60_000.0  # milliseconds
ANN = Person("Ann", "ann@example.org")


@dataclass(frozen=True)
class Machine:
    """A home of its own on the data repository."""

    workspace: Workspace

    def deploy(self) -> serving.Deployment:
        return serving.deploy(self.workspace, lambda line: None)

    def has_budget(self, release: Release, milliseconds: float) -> None:
        """Limits the time of responses on this machine alone, by its own copy of the release."""
        file = self.workspace.releases.bundle(release) / "recognizer.json"
        stored = read_json(file)
        stored["serving"]["max_latency_ms"] = milliseconds
        write_json(file, stored)

    @property
    def live(self) -> str | None:
        status = serving.target(self.workspace).status()
        return observe(self.workspace, self.workspace.stages.production(), status).live


@dataclass(frozen=True)
class Team:
    """The data repository's two releases, and the machines."""

    repository: Path
    releases: list[Release]
    well: Machine
    slow: Machine
    bare: Machine

    def states(self) -> dict[str, tuple[str | None, str | None, str]]:
        """Returns the published states: machine → wanted and live release, and the reason for a difference."""
        self.well.workspace.repository.refresh()
        found = machines(self.well.workspace.repository)
        return {one.machine: (one.wanted, one.live, one.trouble) for one in found}

    def gate(self, release: Release) -> None:
        """As the run for the release's commit does whose gate passed."""
        assert stage_release(self.well.workspace, release.trained_commit, release, lambda beside: []).in_production

    def person(self, version: str, reason: str, follow: bool = False) -> None:
        self.well.workspace.stages.assign(version, person_message(reason, follow), ANN, again=True)

    def history(self) -> list[tuple[str, str]]:
        """Returns the assignments of production, oldest first."""
        self.well.workspace.repository.refresh()
        return [(one.decision.by, one.release.version) for one in self.well.workspace.stages.history()]


@pytest.fixture
def team(kit: Any, tmp_path: Path, free_ports: Callable[[int], list[int]], monkeypatch: pytest.MonkeyPatch) -> Iterator[Team]:
    monkeypatch.delenv("FACE_ASSETS_HOME", raising=False)  # it would be that of all three
    photos = tmp_path / "photos" / "Person"
    photos.mkdir(parents=True)
    (photos / "1.jpg").write_bytes(kit.photo(0, 1))
    create_repository(tmp_path / "data", tmp_path / "photos", "train: {epochs: 1}\n", None, None)

    def machine(name: str, **settings: Any) -> Machine:
        http, grpc, metrics = free_ports(3)
        where = {"home": tmp_path / name, "repo": str(tmp_path / "data"), "machine": name, "serving_env": kit.environment.directory}
        ports = {"http_port": http, "grpc_port": grpc, "metrics_port": metrics, "cores": 1}
        return Machine(Workspace(Settings(**{**where, **ports, **settings})))

    well = machine("well")
    releases = [_registered(kit, well.workspace, version, tmp_path / version) for version in ("v1.0.0", "v2.0.0")]
    made = Team(
        tmp_path / "data", releases, well, machine("slow", rollback_by="slow"), machine("bare", serving_env=_without_triton(tmp_path))
    )
    yield made
    for one in (made.well, made.slow, made.bare):
        serving.stop_servers(one.workspace)


def _registered(kit: Any, workspace: Workspace, version: str, bundle: Path) -> Release:
    """A release of the kit, of a commit of its own, with one question about the photo of the data repository."""
    shutil.copytree(kit.bundle(version), bundle)
    workspace.repository.refresh()
    (photo,) = workspace.repository.files(workspace.repository.resolve("HEAD"), "photos")
    asked = kit.golden_requests(version)[0]
    stored = {"md5": photo.md5, "embedding": asked.embedding.tolist(), "identity": asked.identity, "score": asked.score}
    write_json(bundle / "probes.json", [stored])
    git("commit", "-q", "--allow-empty", "-m", version, cwd=Path(workspace.settings.repo or ""))
    workspace.repository.refresh()
    commit = workspace.repository.resolve("HEAD")
    return workspace.releases.register(bundle, commit, version, Digests(version, "a", "a"), {"auc": 0.9}, {})


def _without_triton(folder: Path) -> Path:
    """A serving environment whose server is gone."""
    environment = folder / "serving"
    requirements = file_digest(SERVING_REQUIREMENTS)
    write_text(environment / READY, fingerprint(requirements, sys.version_info[:2], str(environment)))
    return environment


def leave_states_of_others(data: Path) -> list[str]:
    """That of a machine that has been gone for long, and what is no state of a machine; returns the names of those."""
    state = MachineState(machine="old", target="embedded", wanted=None, live=None, since=None, trouble="", seen="2026-01-01T00:00:00Z")
    none: dict[str, str | MachineState] = {
        "other": state,
        "torn": "{",
        "large": "x" * 10_000,
        "escaping": state.model_copy(update={"machine": "escaping", "trouble": "\x1b"}),
    }
    empty = git("mktree", cwd=data).decode().strip()
    for name, left in {"old": state, **none}.items():
        text = left if isinstance(left, str) else left.model_dump_json()
        commit = git("commit-tree", empty, "-m", text, cwd=data).decode().strip()
        git("update-ref", f"refs/face-assets/machines/{name}", commit, cwd=data)
    return list(none)


def test_production_says_what_gate_and_person_said_and_each_machine_what_it_serves(team: Team, kit: Any) -> None:
    first, second = team.releases
    no_states = leave_states_of_others(team.repository)
    team.gate(first)
    for machine in (team.well, team.slow):
        assert machine.deploy().verified
    with pytest.raises((UserError, OSError)):
        team.bare.deploy()
    nothing = ("v1.0.0", None, "the server cannot be started")
    assert team.states() == {"well": ("v1.0.0", "v1.0.0", ""), "slow": ("v1.0.0", "v1.0.0", ""), "bare": nothing}
    refs = git("for-each-ref", "--format=%(refname:lstrip=3)", "refs/face-assets", cwd=team.repository).decode().split()
    assert set(refs) == {"well", "slow", "bare", *no_states}, "the machine that is gone has aged out"
    began = last_attempt(team.slow.workspace)

    team.person("v2.0.0", "Try it")
    team.slow.has_budget(second, TOO_LITTLE)
    done = team.well.deploy()
    assert done.live == "v2.0.0", done.reason
    refused = team.slow.deploy()
    assert (refused.live, refused.verified, team.slow.live) == ("v1.0.0", False, "v1.0.0")
    assert team.history() == [("gate", "v1.0.0"), ("person", "v2.0.0")], "a person decided: even the machine that may roll back does not"
    assert team.states()["slow"] == ("v2.0.0", "v1.0.0", "deployment check failed: latency")
    kept = last_attempt(team.slow.workspace)
    assert began and kept and (kept.live, kept.since) == ("v1.0.0", began.since), "it has served it all the time"
    for machine in (team.slow, team.bare):
        machine.workspace.repository.refresh()  # as the stage sensor does
        trouble = find_trouble(machine.workspace, ask=False)
        assert trouble and trouble.desired and trouble.desired.release == second, "it is tried again"

    team.slow.has_budget(second, ENOUGH)
    assert team.slow.deploy().live == "v2.0.0"
    mended = Machine(Workspace(team.bare.workspace.settings.model_copy(update={"serving_env": kit.environment.directory})))
    assert mended.deploy().live == "v2.0.0"
    assert team.states() == dict.fromkeys(("well", "slow", "bare"), ("v2.0.0", "v2.0.0", ""))
    assert [find_trouble(machine.workspace, ask=False) for machine in (team.well, team.slow, mended)] == [None] * 3

    team.person("v1.0.0", "Back", follow=True)
    team.slow.deploy()
    team.gate(second)
    team.slow.has_budget(second, TOO_LITTLE)
    assert "rolled back to v1.0.0" in team.slow.deploy().reason, "it is the one machine that the settings name"
    said = [("gate", "v1.0.0"), ("person", "v2.0.0"), ("person", "v1.0.0"), ("gate", "v2.0.0"), ("machine", "v1.0.0")]
    assert team.history() == said
    serving.stop_servers(team.slow.workspace)
    assert find_trouble(team.slow.workspace, ask=False) is None, "stopped on purpose"
    assert read_traffic(f"http://127.0.0.1:{team.well.workspace.settings.metrics_port}", 2.0).photos == 0, "nobody asked but the platform"


MINUTES = float(os.environ.get("FACE_ASSETS_TEST_MINUTES", "0"))
WORKSPACES: dict[str, Workspace] = {}
BURN = "while True: pass"
BURNERS = 12


class Fixed(WorkspaceResource):
    """The workspace of one of several machines in this process."""

    machine: str

    def workspace(self) -> Workspace:
        """That of the machine's name."""
        return WORKSPACES[self.machine]


class Daemon(threading.Thread):
    """The platform's sensors on a machine, and the deployments that they launch, one after another."""

    def __init__(self, name: str, machine: Machine):
        super().__init__(name=name)
        WORKSPACES[name] = machine.workspace
        self.machine, self.over, self.attempts, self.serves = machine, threading.Event(), Counter[str](), list[tuple[float, str | None]]()
        self.cursors: dict[str, str | None] = {}

    def run(self) -> None:
        with dg.DagsterInstance.ephemeral() as instance:
            while not self.over.is_set():
                asked = [self._tick(sensor, instance) for sensor in (stage_sensor, health_sensor, machine_sensor)]
                if any(asked):
                    self._deploy()
                live = self.machine.live
                if not self.serves or self.serves[-1][1] != live:
                    self.serves.append((time.monotonic(), live))
                self.over.wait(2.0)

    def _tick(self, sensor: dg.SensorDefinition, instance: dg.DagsterInstance) -> bool:
        with dg.build_sensor_context(instance, cursor=self.cursors.get(sensor.name)) as context:
            found = sensor(context, platform=Fixed(machine=self.name))
        if not isinstance(found, dg.SensorResult):
            return False
        self.cursors[sensor.name] = found.cursor
        return bool(found.run_requests)

    def _deploy(self) -> None:
        try:
            done = self.machine.deploy()
        except (UserError, OSError) as error:
            self.attempts[trouble_of(error)] += 1
        else:
            self.attempts["live" if done.verified else "refused"] += 1

    def served(self, version: str, since: float) -> float | None:
        """Returns the seconds until the version was live; None where it is not."""
        found = [when for when, live in self.serves if live == version and when >= since]
        return round(found[0] - since, 1) if found else None


@contextmanager
def loaded_core(machine: Machine) -> Iterator[None]:
    """The machine's server shares one core with so many busy processes."""
    core = {min(os.sched_getaffinity(0))}
    status = serving.target(machine.workspace).status()
    family = [psutil.Process(status.pid), *psutil.Process(status.pid).children(recursive=True)]
    burners = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(BURNERS)]
    try:
        _bind([*family, *(psutil.Process(burner.pid) for burner in burners)], core)
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()
        _bind(family, os.sched_getaffinity(0))


def _bind(processes: list[psutil.Process], cores: set[int]) -> None:
    """Lets all threads of the processes run on these cores alone; what ends meanwhile needs none."""
    for process in processes:
        with suppress(psutil.Error):
            for thread in process.threads():
                with suppress(ProcessLookupError):
                    os.sched_setaffinity(thread.id, cores)


@pytest.mark.skipif(MINUTES == 0, reason="FACE_ASSETS_TEST_MINUTES is not set: how long three homes are watched")
@pytest.mark.timeout(1800 + 60 * MINUTES)
def test_promotions_and_rollbacks_for_minutes(team: Team) -> None:
    first, second = team.releases
    team.gate(first)
    team.well.deploy()
    median = float(team.slow.deploy().report["median_ms"])
    for release in team.releases:
        team.slow.has_budget(release, 3 * median)
    slow = Machine(Workspace(team.slow.workspace.settings.model_copy(update={"rollback_by": None})))
    daemons = {name: Daemon(name, machine) for name, machine in (("well", team.well), ("slow", slow), ("bare", team.bare))}
    for daemon in daemons.values():
        daemon.start()
    wanted: list[tuple[float, str, str]] = []

    def say(by: str, version: str, *what: Any) -> None:
        team.person(version, *what) if by == "person" else team.gate(second if version == "v2.0.0" else first)
        wanted.append((time.monotonic(), by, version))

    began, step = time.monotonic(), 60 * MINUTES / 10
    try:
        with loaded_core(team.slow):
            for by, version, *what in (("gate", "v2.0.0"), ("person", "v1.0.0", "Back"), ("person", "v2.0.0", "Forth", True)):
                say(by, version, *what)
                time.sleep(step)
        fast_again = time.monotonic()
        time.sleep(step)
        for by, version, *what in (("person", "v1.0.0", "Back"), ("person", "v2.0.0", "Forth"), ("person", "v1.0.0", "Back", True)):
            say(by, version, *what)
            time.sleep(step)
        say("gate", "v2.0.0")
        until(lambda: daemons["slow"].machine.live == daemons["well"].machine.live == "v2.0.0", 60 * MINUTES)
    finally:
        for daemon in daemons.values():
            daemon.over.set()
            daemon.join()
    print(f"{time.monotonic() - began:.0f} s, budget of the slow machine {3 * median:.0f} ms, 3 times what it took without load")
    for name, daemon in daemons.items():
        took = [daemon.served(version, when) for when, _, version in wanted]
        print(
            f"{name}: {dict(daemon.attempts)}; seconds to each assignment: {[round(one, 1) if one is not None else None for one in took]}"
        )
    print(f"slow: served v2.0.0 {daemons['slow'].served('v2.0.0', fast_again)} s after the core was free; in the end: {team.states()}")
    assert team.history() == [("gate", "v1.0.0"), *((by, version) for _, by, version in wanted)]
    assert team.states()["bare"] == ("v2.0.0", None, "the server cannot be started")
