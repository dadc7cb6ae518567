"""Commits, tags and failures with a real daemon: pushed to a bare repository, live without a hand."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from face_assets.core.errors import UserError
from face_assets.dataset.repository_creation import commit_photos
from face_assets.demo.synthetic import write_people
from face_assets.registry.git import git
from face_assets.serving.embedded import read_status
from tests.e2e.runs import ENDED, ended_looks, red_assets, runs_of
from tests.far_end import FarEnd

PEOPLE, PHOTOS = 12, 3
PARAMS = """
split: {{validation: 0.1, test: 0.4, min_test_people: 2}}
detector: {{image_size: 80, margin: 16, align: upright, max_rejected: 0.5}}
embedder: {{weights: scratch, embedding_size: 32}}
train: {{unfreeze: all, epochs: 0, batch_size: 16, embedding_regularization: 0.0, scale: 16.0}}
evaluation: {{far: 0.05, fpir: {fpir}, min_auc: 0.0, min_accuracy: {min_accuracy}, max_regression: 1.0,
  stress: {{conditions: {{}}}}}}
gallery: {{action: report}}
serving: {{golden_requests: 2, max_latency_ms: 10000}}
"""
SECONDS = 1500.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@dataclass
class Team:
    """People who push to a bare repository, and the platform that watches it."""

    cli: Any
    clone: Path
    source: Path

    @property
    def home(self) -> Path:
        return Path(self.cli.environment["FACE_ASSETS_HOME"])

    def commit(self, fpir: float = 0.1, min_accuracy: float = 0.0, push: bool = True) -> str:
        """A commit that changes parameters."""
        (self.clone / "params.yaml").write_text(PARAMS.format(fpir=fpir, min_accuracy=min_accuracy))
        git("commit", "-q", "-am", f"Ask for {fpir}, {min_accuracy}", cwd=self.clone)
        if push:
            self.push()
        return self.head()

    def push(self, *what: str) -> None:
        git("push", "-q", "origin", *(what or ("HEAD",)), cwd=self.clone)

    def head(self) -> str:
        return git("rev-parse", "HEAD", cwd=self.clone).decode().strip()

    def runs(self) -> list[dict[str, Any]]:
        """The runs of `face-assets history`, newest first."""
        found: list[dict[str, Any]] = self.cli.json("history", "--limit", "100")
        return found

    def live(self) -> str:
        """The last stage tag's message, which names the commit, if the server has that release live."""
        status = json.loads(self.cli.run("status", "--json").stdout)
        server, production = status["server"], status["production"] or {}
        if not server["ready"] or server["live"] != production.get("version"):
            return f"{server['live']}, and in production {production.get('version')}"
        return self.assigned()

    def assigned(self) -> str:
        """The last stage tag's message."""
        return self._newest_stage_tag("contents")

    def _newest_stage_tag(self, what: str) -> str:
        newest = ("for-each-ref", "--sort=-version:refname", "--count=1", f"--format=%({what})", "refs/tags/face-recognizer#production*")
        return git(*newest, cwd=self.source).decode()

    def is_served(self) -> bool:
        """True where the server has what the last stage tag assigns, read from its folder: `status` takes seconds of a core."""
        try:
            status = read_status(self.home / "serving")
        except UserError:  # it ended meanwhile
            return False
        return status.ready and status.live is not None and status.live.release_commit == self._newest_stage_tag("*objectname").strip()

    def states(self) -> list[dict[str, Any]]:
        """Status, job and tags of the runs, from the webserver, newest first."""
        return runs_of(self.cli.environment["FACE_ASSETS_UI_PORT"])

    def until(self, what: str, holds: Callable[[], bool], seconds: float = SECONDS) -> float:
        """Waits; returns how long it took."""
        began = time.monotonic()
        while not holds():
            assert time.monotonic() - began < seconds, f"{what}: not within {seconds:g} s\n{json.dumps(self.runs(), indent=1)[:4000]}"
            time.sleep(0.5)
        return time.monotonic() - began

    def until_live(self, commit: str) -> float:
        return self.until(f"{commit[:12]} is live", lambda: commit in self.assigned() and self.is_served() and commit in self.live())

    def until_idle(self) -> None:
        self.until("no run is under way", lambda: all(run["status"] in ENDED for run in self.states()))

    def until_looked(self) -> None:
        """Until the commit sensor has looked twice, from beginning to end, after now."""
        now, port = time.time(), self.cli.environment["FACE_ASSETS_UI_PORT"]
        self.until("the commit sensor looks", lambda: sum(began > now for began in ended_looks(port, "commit_sensor")) >= 2)

    def runs_for(self, commit: str, job: str = "commit_to_live") -> list[str]:
        """The final statuses of a commit's runs, newest first."""
        return [run["status"] for run in self.states() if run["jobName"] == job and run["tags"].get("dagster/partition") == commit]


@pytest.fixture(scope="module")
def webhook() -> Iterator[FarEnd]:
    made = FarEnd()
    made.may_answer.set()
    made.up()
    yield made
    made.down()


def told(webhook: FarEnd) -> list[str]:
    """The kinds of the messages about the evaluation, in order."""
    return [message["kind"] for message in webhook.posts if "embedder_evaluation" in message["text"]]


@pytest.fixture(scope="module")
def team(cli: Any, webhook: FarEnd) -> Iterator[Team]:
    write_people(cli.folder / "photos", PEOPLE, PHOTOS)
    (cli.folder / "params.yaml").write_text(PARAMS.format(fpir=0.1, min_accuracy=0.0))
    cli("init", "data", "--photos", "photos", "--params", "params.yaml")
    source = cli.folder / "source.git"
    git("clone", "-q", "--bare", str(cli.folder / "data"), str(source))
    git("remote", "add", "origin", str(source), cwd=cli.folder / "data")
    cli.environment["FACE_ASSETS_REPO"] = str(source)
    cli.environment["FACE_ASSETS_NOTIFY_WEBHOOK"] = webhook.url()
    made = Team(cli, cli.folder / "data", source)
    cli("up")
    print(f"the first commit live {made.until_live(made.head()):.0f} s after the platform was up")
    yield made


def test_new_photos_go_live_without_a_hand(team: Team) -> None:
    write_people(team.cli.folder / "added", 3, 1, first_photo=PHOTOS)
    commit = commit_photos(team.clone, team.cli.folder / "added", "Add three photos")
    team.push()
    pushed = time.time()
    print(f"new photos live after {team.until_live(commit):.0f} s")
    team.until_idle()
    (run,) = [run for run in team.runs() if run["commit"] == commit]
    print(f"the run began {run['started'] - pushed:.1f} s after the push and took {run['seconds']} s")
    assert (run["trigger"], run["branch"], run["subject"], run["status"]) == ("commit", "main", "Add three photos", "SUCCESS")


def test_commits_in_a_row_are_all_accounted_for_and_the_newest_is_live_in_the_end(team: Team) -> None:
    """Three: more than run at once, so that one waits."""
    pushed = [team.commit(fpir=0.01 * number) for number in range(1, 4)]
    team.until_live(pushed[-1])
    team.until_idle()
    assert {commit: team.runs_for(commit) for commit in pushed} == {commit: ["SUCCESS"] for commit in pushed}
    assert pushed[-1] in team.live()


def test_an_experiment_is_evaluated_and_does_not_go_live(team: Team) -> None:
    git("checkout", "-q", "-b", "experiment", cwd=team.clone)
    tried = team.commit(fpir=0.21)
    git("checkout", "-q", "main", cwd=team.clone)
    wanted = team.commit(fpir=0.22)
    team.until_live(wanted)
    team.until("the experiment is evaluated", lambda: team.runs_for(tried, "commit_to_evaluation") == ["SUCCESS"])
    team.until_idle()  # live is not yet ended
    assert team.runs_for(tried) == []
    assert team.runs_for(wanted) == ["SUCCESS"]


def test_a_refused_commit_leaves_production_and_is_told_once_and_once_when_it_is_well(team: Team, webhook: FarEnd) -> None:
    before, red = team.live(), red_assets(team.cli.environment["FACE_ASSETS_UI_PORT"])
    refused = team.commit(min_accuracy=0.9999)
    team.until("the gate refuses", lambda: team.runs_for(refused) == ["CANCELED"])
    team.until("the problem is told", lambda: told(webhook) == ["firing"])
    assert team.live() == before
    assert red_assets(team.cli.environment["FACE_ASSETS_UI_PORT"]) <= red, "a refusal of one commit is no failure of production's assets"
    (message,) = [one for one in webhook.posts if "embedder_evaluation" in one["text"]]
    assert (message["asset"], message["commit"], message["branch"]) == ("embedder_evaluation", refused, "main")
    assert "evaluation.min_accuracy" in message["reason"]
    (run,) = team.cli.json("history", "--failed")[:1]
    assert (run["commit"], run["asset"], run["check"]) == (refused, "embedder_evaluation", "gate")
    assert run["figures"]["figures"]["trained"]["accuracy"] < 0.9999
    again = team.commit(fpir=0.23)
    team.until_live(again)
    team.until("it is told that all is well", lambda: told(webhook) == ["firing", "resolved"])


def test_a_tag_from_a_colleagues_clone_rolls_back(team: Team) -> None:
    colleague = team.cli.folder / "colleague"
    git("clone", "-q", str(team.source), str(colleague))
    gto = str(Path(sys.executable).with_name("gto"))
    tag = [gto, "assign", "face-recognizer", "--version", "v1.0.0", "--stage", "production", "--force"]
    who = {f"GIT_COMMITTER_{name}": value for name, value in (("NAME", "Colleague"), ("EMAIL", "colleague@example.org"))}
    subprocess.run(tag, cwd=colleague, check=True, capture_output=True, env={**os.environ, **who})
    git("push", "-q", "origin", "--tags", cwd=colleague)
    print(f"rolled back in {team.until('v1.0.0 is live', team.is_served):.0f} s")
    team.until_idle()
    (run,) = [run for run in team.runs() if run["trigger"] == "stage"]
    assert (run["job"], run["author"]) == ("deploy_production", "Colleague")
    commit = team.commit(fpir=0.24)
    team.until("the commit has run", lambda: team.runs_for(commit) == ["SUCCESS"])
    found = json.loads(team.cli.run("status", "--json").stdout)
    assert (found["server"]["live"], found["production"]["version"], found["production"]["assigned_by"]) == (
        "v1.0.0",
        "v1.0.0",
        "Colleague",
    )
    assert "Colleague" in found["production"]["held"]
    assert found["production"]["waiting"]["commit"] == commit
    assert team.cli.json("resume", "--reason", "Mended")["run_for"] == commit
    team.until_live(commit)


def test_a_server_that_was_killed_and_one_that_answers_wrongly_are_mended(team: Team) -> None:
    """Killed, and with a spoilt gallery that it comes back with."""
    team.until_idle()
    team.until_live(team.head())
    photos = sorted((team.clone / "photos").rglob("*.jpg"))[:6]

    def scores() -> list[float]:
        done = team.cli.run("identify", *photos, "--json")
        answers = json.loads(done.stdout) if done.returncode == 0 else []
        return [face["score"] for answer in answers for face in answer["faces"]]

    before = scores()
    assert before
    number = json.loads((team.home / "serving" / "state.json").read_text())["live"]["number"]
    gallery = team.home / "serving" / "models" / "face_recognizer" / str(number) / "gallery.npz"
    with np.load(gallery) as stored:
        np.savez(gallery.with_name("spoilt.npz"), **{**stored, "templates": -stored["templates"]})
    gallery.with_name("spoilt.npz").replace(gallery)  # not written into: the bundle of the release is the same file
    pid = json.loads(team.cli.run("status", "--json").stdout)["server"]["pid"]
    os.kill(pid, signal.SIGKILL)
    team.until("the server is gone", lambda: not team.is_served())
    print(f"the server was back after {team.until_live(team.head()):.0f} s")
    print(
        f"it answered as before after {team.until('it answers as before', lambda: scores() == pytest.approx(before, abs=0.01)):.0f} s more"
    )
    team.until_idle()
    assert {run["status"] for run in team.runs() if run["trigger"] == "health"} == {"SUCCESS"}


def test_an_unreachable_repository_and_photos_that_come_late_lose_no_commit(team: Team) -> None:
    away, remote = team.source.with_name("away.git"), team.clone.with_name("data.dvc-remote")
    write_people(team.cli.folder / "late", 2, 1, first_photo=PHOTOS + 1)
    remote_before = remote.with_name("remote before")
    shutil.copytree(remote, remote_before)
    commit = commit_photos(team.clone, team.cli.folder / "late", "Photos that come late")
    pushed = remote.with_name("remote after")
    remote.rename(pushed)
    remote_before.rename(remote)
    team.source.rename(away)
    team.until_looked()
    away.rename(team.source)
    team.push()
    team.until_looked()
    assert team.runs_for(commit) == []
    for file in (file for file in pushed.rglob("*") if file.is_file()):
        to = remote / file.relative_to(pushed)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, to)
    team.until_live(commit)
    team.until_idle()
    assert team.runs_for(commit) == ["SUCCESS"]


def test_kills_of_the_daemon_the_webserver_and_a_run_lose_and_double_no_commit(team: Team) -> None:
    """All three at once, with a commit under way and another one pushed while nobody looks."""
    team.until_idle()
    write_people(team.cli.folder / "more", 2, 1, first_photo=PHOTOS + 3)
    first = commit_photos(team.clone, team.cli.folder / "more", "Under way when everything is killed")
    team.push()
    team.until("the run is under way", lambda: team.runs_for(first) == ["STARTED"])
    for process in processes_of(team.home):
        os.kill(process, signal.SIGKILL)
    second = team.commit(fpir=0.25)
    team.cli("up")
    team.until_live(second)
    team.until("the killed run went through", lambda: team.runs_for(first).count("SUCCESS") == 1)
    team.until_idle()
    assert team.runs_for(second) == ["SUCCESS"]
    assert team.runs_for(first) == ["SUCCESS", "FAILURE"]
    assert second in team.live()


def processes_of(home: Path) -> list[int]:
    """The webserver, the daemon, their code servers and the runs of a home, but not Triton."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            environment = (folder / "environ").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if f"FACE_ASSETS_HOME={home}".encode() in environment and b"python" in command and b"triton" not in command:
            found.append(int(folder.name))
    return found
