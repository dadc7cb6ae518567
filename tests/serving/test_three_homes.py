"""Three machines on one data repository, one slow and one without a Triton: production says what gate and person said, and each machine
what it serves."""

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from face_assets.automation.health_sensor import find_trouble
from face_assets.errors import UserError
from face_assets.files import read_json, write_json, write_text
from face_assets.fingerprint import file_digest, fingerprint
from face_assets.monitoring.triton_metrics import read_traffic
from face_assets.pipeline import serving
from face_assets.pipeline.machine import last_attempt, observe
from face_assets.pipeline.staging import stage_release
from face_assets.pipeline.workspace import Workspace
from face_assets.registry.create import create_repository
from face_assets.registry.decision import person_message
from face_assets.registry.git import git
from face_assets.registry.machines import MachineState, machines
from face_assets.registry.person import Person
from face_assets.registry.release import Digests, Release
from face_assets.serving.environment import READY
from face_assets.settings import Settings

pytestmark = pytest.mark.slow

ANN = Person("Ann", "ann@example.org")


@dataclass(frozen=True)
class Machine:
    """A home of its own on the data repository."""

    workspace: Workspace

    def deploy(self) -> serving.Deployment:
        return serving.deploy(self.workspace, lambda line: None)

    def is_too_slow(self, release: Release, slow: bool) -> None:
        """What no machine could do in time is asked of this one, by its own copy of the release's budget."""
        file = self.workspace.releases.bundle(release) / "recognizer.json"
        stored = read_json(file)
        stored["serving"]["max_latency_ms"] = 0.001 if slow else 60_000.0
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
        """What colleagues see: by machine wanted, live, and why another."""
        self.well.workspace.repository.refresh()
        found = machines(self.well.workspace.repository)
        return {one.machine: (one.wanted, one.live, one.trouble) for one in found}

    def gate(self, release: Release) -> None:
        """As the run for the release's commit does whose gate passed."""
        assert stage_release(self.well.workspace, release.trained_commit, release, lambda beside: [])[0]

    def person(self, version: str, reason: str, follow: bool = False) -> None:
        self.well.workspace.stages.assign(version, person_message(reason, follow), ANN, again=True)

    def history(self) -> list[tuple[str, str]]:
        """Who put what into production, oldest first."""
        self.well.workspace.repository.refresh()
        return [(one.decision.by, one.release.version) for one in self.well.workspace.stages.history()]


@pytest.fixture
def team(kit: Any, tmp_path: Path, free_ports: Callable[[int], list[int]]) -> Iterator[Team]:
    photos = tmp_path / "photos" / "Person"
    photos.mkdir(parents=True)
    (photos / "1.jpg").write_bytes(kit.photo(0, 1))
    create_repository(tmp_path / "data", tmp_path / "photos", "train: {epochs: 1}\n", None, None, lambda *_: None)

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
    asked = kit.probes(version)[0]
    probe = {"md5": photo.md5, "embedding": asked.embedding.tolist(), "identity": asked.identity, "score": asked.score}
    write_json(bundle / "probes.json", [probe])
    git("commit", "-q", "--allow-empty", "-m", version, cwd=Path(workspace.settings.repo or ""))
    workspace.repository.refresh()
    commit = workspace.repository.resolve("HEAD")
    return workspace.releases.register(bundle, commit, version, Digests(version, "a", "a"), {"auc": 0.9}, {})


def _without_triton(folder: Path) -> Path:
    """A serving environment whose server is gone."""
    environment = folder / "serving"
    requirements = file_digest(serving.ROOT / "deploy" / "requirements-serving.txt")
    write_text(environment / READY, fingerprint(requirements, sys.version_info[:2], str(environment)))
    return environment


def test_production_says_what_gate_and_person_said_and_each_machine_what_it_serves(team: Team, kit: Any) -> None:
    first, second = team.releases
    team.gate(first)
    for machine in (team.well, team.slow):
        assert machine.deploy().verified
    with pytest.raises((UserError, OSError)):
        team.bare.deploy()
    nothing = ("v1.0.0", None, "the server cannot be started")
    assert team.states() == {"well": ("v1.0.0", "v1.0.0", ""), "slow": ("v1.0.0", "v1.0.0", ""), "bare": nothing}
    began = last_attempt(team.slow.workspace)

    team.person("v2.0.0", "Try it")
    team.slow.is_too_slow(second, True)
    done = team.well.deploy()
    assert done.live == "v2.0.0", done.reason
    refused = team.slow.deploy()
    assert (refused.live, refused.verified, team.slow.live) == ("v1.0.0", False, "v1.0.0")
    assert team.history() == [("gate", "v1.0.0"), ("person", "v2.0.0")], "a person decided: even the machine that may roll back does not"
    assert team.states()["slow"] == ("v2.0.0", "v1.0.0", "deployment check failed: latency")
    kept = last_attempt(team.slow.workspace)
    assert began and kept and (kept.live, kept.since) == ("v1.0.0", began.since), "it has served it all the time"
    for machine in (team.slow, team.bare):
        trouble = find_trouble(machine.workspace, ask=False)
        assert trouble and trouble.wanted and trouble.wanted.release == second, "it is tried again"

    team.slow.is_too_slow(second, False)
    assert team.slow.deploy().live == "v2.0.0"
    mended = Machine(Workspace(team.bare.workspace.settings.model_copy(update={"serving_env": kit.environment.directory})))
    assert mended.deploy().live == "v2.0.0"
    assert team.states() == dict.fromkeys(("well", "slow", "bare"), ("v2.0.0", "v2.0.0", ""))
    assert [find_trouble(machine.workspace, ask=False) for machine in (team.well, team.slow, mended)] == [None] * 3

    team.person("v1.0.0", "Back", follow=True)
    team.slow.deploy()
    team.gate(second)
    team.slow.is_too_slow(second, True)
    assert "rolled back to v1.0.0" in team.slow.deploy().reason, "it is the one machine that the settings name"
    said = [("gate", "v1.0.0"), ("person", "v2.0.0"), ("person", "v1.0.0"), ("gate", "v2.0.0"), ("machine", "v1.0.0")]
    assert team.history() == said
    serving.stop_servers(team.slow.workspace)
    assert find_trouble(team.slow.workspace, ask=False) is None, "stopped on purpose"
    assert read_traffic(f"http://127.0.0.1:{team.well.workspace.settings.metrics_port}", 2.0).photos == 0, "nobody asked but the platform"


def test_a_machine_that_is_gone_ages_out_and_what_is_no_state_is_left_out(team: Team) -> None:
    data = team.repository
    empty = git("mktree", cwd=data).decode().strip()

    def put(name: str, text: str) -> None:
        commit = git("commit-tree", empty, "-m", text, cwd=data).decode().strip()
        git("update-ref", f"refs/face-assets/machines/{name}", commit, cwd=data)

    state = MachineState(machine="old", target="embedded", wanted=None, live=None, since=None, trouble="", seen="2026-01-01T00:00:00Z")
    put("old", state.model_dump_json())
    put("other", state.model_dump_json())
    put("torn", "{")
    put("large", "x" * 10_000)
    put("escaping", state.model_copy(update={"machine": "escaping", "trouble": "\x1b[2J"}).model_dump_json())
    team.gate(team.releases[0])
    team.well.deploy()
    assert set(team.states()) == {"well"}
    left = git("for-each-ref", "--format=%(refname:lstrip=3)", "refs/face-assets", cwd=data).decode().split()
    assert set(left) == {"well", "other", "torn", "large", "escaping"}
