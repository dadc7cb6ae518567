"""The commit sensor on real repositories: one run for each commit that counts, whatever happens to the branches."""

import json
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pytest

from face_assets.automation.commit_sensor import commit_sensor
from face_assets.core.settings import load_settings
from face_assets.orchestration.jobs import COMMIT_TO_EVALUATION, COMMIT_TO_LIVE
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.registry import availability
from face_assets.registry.git import git
from face_assets.registry.releases import Digests
from face_assets.registry.workspace import Workspace
from tests.waiting import until


@dataclass
class Watch:
    """A bare repository that people push to, a clone they work in, and the sensor's looks at it."""

    clone: Path
    source: Path
    instance: dg.DagsterInstance
    cursor: str | None = None
    said: str = ""
    waits: list[dict[str, object]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    requests: list[dg.RunRequest] = field(default_factory=list)
    events: list[dg.AssetObservation] = field(default_factory=list)

    def look(self) -> list[tuple[str, str]]:
        """Job and commit of what a tick asks for, as Dagster would launch it: a run key counts once."""
        with dg.build_sensor_context(self.instance, cursor=self.cursor) as context:
            result = commit_sensor(context, platform=WorkspaceResource())
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        self.waits = json.loads(result.cursor or "{}")["waiting"]
        self.said = str(result.skip_reason.skip_message if result.skip_reason else "")
        self.requests = list(result.run_requests or [])
        self.events = [event for event in result.asset_events if isinstance(event, dg.AssetObservation)]
        new = [(str(one.run_key), str(one.job_name), str(one.partition_key)) for one in self.requests if one.run_key not in self.keys]
        self.keys.update(key for key, _, _ in new)
        for _, job, commit in new:
            self.instance.add_run(dg.DagsterRun(job, status=dg.DagsterRunStatus.SUCCESS, tags={"dagster/partition": commit}))
        return [(job, commit) for _, job, commit in new]

    def git(self, *arguments: str) -> str:
        return git(*arguments, cwd=self.clone).decode().strip()

    def commit(self, epochs: int | None = None, push: bool = True) -> str:
        """A commit that changes parameters, or without `epochs` one that changes nothing that counts."""
        if epochs is None:
            (self.clone / "notes.txt").write_text(str(time.monotonic()))
        else:
            (self.clone / "params.yaml").write_text(f"train: {{epochs: {epochs}}}\n")
        self.git("add", "-A", ".")
        self.git("commit", "-q", "-m", f"epochs {epochs}")
        if push:
            self.push()
        return self.head()

    def push(self, *options: str) -> None:
        self.git("push", "-q", *options, "origin", "HEAD")

    def head(self) -> str:
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def production(watch: Watch, home: Path, bundle: Callable[[bytes], Path]) -> Callable[[str], None]:
    """Puts a release for the commit into production, as the pipeline does."""
    workspace = Workspace(load_settings())

    def put(commit: str) -> None:
        workspace.repository.refresh()
        release = workspace.releases.register(bundle(commit.encode()), commit, commit, Digests(commit, "a", "a"), {}, {})
        workspace.stages.assign(release.version, f"The gate let it through, for commit {commit}")

    return put


@pytest.fixture
def watch(repository: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    source = repository.with_name("source.git")
    git("clone", "-q", "--bare", str(repository), str(source))
    git("remote", "add", "origin", str(source), cwd=repository)
    monkeypatch.setenv("FACE_ASSETS_REPO", str(source))
    with dg.instance_for_test() as instance:
        yield Watch(repository, source, instance)


def live(*commits: str) -> list[tuple[str, str]]:
    return [(COMMIT_TO_LIVE, commit) for commit in commits]


def test_the_first_look_asks_for_the_head_and_the_second_for_nothing(watch: Watch) -> None:
    watch.commit(2)
    assert watch.look() == live(watch.head())
    tags = watch.requests[0].tags
    assert tags["face_assets/commit"] == watch.head()
    assert tags["face_assets/branch"] == "main"
    assert tags["face_assets/trigger"] == "commit"
    assert "Ann" in tags["face_assets/author"]
    assert tags["face_assets/dataset_version"].endswith(".dir")
    assert watch.look() == []
    assert watch.said == "Nothing new."


def test_a_look_observes_the_sources_at_the_commit(watch: Watch) -> None:
    watch.look()
    versions = {one.asset_key.to_user_string(): (one.partition, one.tags["dagster/data_version"]) for one in watch.events}
    assert set(versions) == {"photos", "parameters"}
    assert versions["photos"][0] == watch.head()
    assert versions["photos"][1] == watch.requests[0].tags["face_assets/dataset_version"]


def test_every_commit_between_two_looks_is_asked_for_in_order_and_what_changes_nothing_is_not(watch: Watch) -> None:
    watch.look()
    first, notes, second = watch.commit(2), watch.commit(), watch.commit(3)
    assert watch.look() == live(first, second)
    assert notes not in str(watch.requests)
    last = watch.commit()
    assert watch.look() == []
    assert f"{last[:12]} on main changes neither photos, gallery, people.csv, reviewed.csv nor parameters" in watch.said


def test_a_commit_that_only_acknowledges_somebody_runs(watch: Watch) -> None:
    watch.look()
    watch.git("commit", "-q", "--allow-empty", "-m", "Ann is meant\n\nAcknowledge-Person: Ann")
    watch.push()
    assert watch.look() == live(watch.head())


def test_a_revert_runs_again(watch: Watch) -> None:
    watch.look()
    watch.commit(2)
    watch.look()
    watch.git("revert", "--no-edit", "HEAD")
    watch.push()
    assert watch.look() == live(watch.head())


def test_a_force_push_is_compared_with_where_the_branch_stood(watch: Watch) -> None:
    base = watch.head()
    watch.look()
    watch.commit(2)
    watch.look()
    watch.git("reset", "-q", "--hard", base)
    notes = watch.commit(push=False)  # it changes nothing against its parent, but the parameters against what ran last
    watch.push("--force")
    assert watch.look() == live(notes)


def test_a_branch_set_back_and_forward_again_runs_once_more_what_it_left(watch: Watch, production: Callable[[str], None]) -> None:
    base = watch.head()
    watch.look()
    second = watch.commit(2)
    watch.look()
    production(second)
    watch.git("reset", "-q", "--hard", base)
    watch.push("--force")
    assert watch.look() == live(base)
    assert watch.look() == []
    production(base)
    watch.git("reset", "-q", "--hard", second)
    watch.push()
    assert watch.look() == live(second)
    production(second)
    watch.git("reset", "-q", "--hard", base)
    watch.push("--force")
    assert watch.look() == live(base)


def test_an_experiment_that_catches_up_with_production_evaluates_nothing_again(watch: Watch) -> None:
    watch.git("checkout", "-q", "-b", "dev")
    watch.push()
    watch.git("checkout", "-q", "main")
    watch.look()
    watch.commit(2)
    watch.commit(3)
    assert len(watch.look()) == 2
    watch.git("checkout", "-q", "dev")
    watch.git("merge", "-q", "--ff-only", "main")
    watch.push()
    assert watch.look() == []


ODD = (
    "since: 2024-02-30\n",
    "[" * 3000,
    "embedder: {weights: [1]}\n",
    "\u0085: \u2028\n",
    "x: !!bool maybe\n",
    'x: !!int ""\n',
    "x: !!timestamp never\n",
    'embedder: {weights: "C:\\new\\001.pt"}\n',
    'embedder: {weights: "half \\ud83d.pt"}\n',
    "embedder: {weights: " + "w" * 150_000 + "}\n",
    "x: [" + "1, " * 100_000 + "1]\n",
)


def test_odd_parameters_and_branch_names_stop_nobody_else_and_the_runs_say_what_is_odd(watch: Watch) -> None:
    watch.look()
    odd = []
    for number, text in enumerate(ODD):
        watch.git("checkout", "-q", "-B", f"odd-{number}-\u2028-ü#@", "main")
        (watch.clone / "params.yaml").write_text(text, encoding="utf-8")
        watch.git("commit", "-q", "-am", "Odd \u2028 parameters")
        watch.push()
        odd.append((COMMIT_TO_EVALUATION, watch.head()))
    git("update-ref", b"refs/heads/caf\xe9".decode(errors="surrogateescape"), "main", cwd=watch.source)
    watch.git("checkout", "-q", "main")
    wanted = watch.commit(2)
    asked = watch.look()
    assert (COMMIT_TO_LIVE, wanted) in asked
    assert set(odd) <= set(asked)


def test_a_merge_is_one_commit(watch: Watch) -> None:
    watch.look()
    watch.git("checkout", "-q", "-b", "side")
    watch.commit(2, push=False)
    watch.commit(3, push=False)
    watch.git("checkout", "-q", "main")
    watch.commit()
    watch.look()
    watch.git("merge", "-q", "--no-edit", "side")
    watch.push()
    assert watch.look() == live(watch.head())


def test_another_branch_stops_after_the_evaluation_and_goes_live_when_it_is_merged(watch: Watch) -> None:
    watch.look()
    watch.git("checkout", "-q", "-b", "wider-margin")
    experiment = watch.commit(2)
    assert watch.look() == [(COMMIT_TO_EVALUATION, experiment)]
    watch.git("checkout", "-q", "main")
    watch.git("merge", "-q", "--ff-only", "wider-margin")
    watch.push()
    assert watch.look() == live(experiment)


def test_a_new_branch_without_commits_and_a_deleted_one_ask_for_nothing(watch: Watch) -> None:
    watch.look()
    watch.git("checkout", "-q", "-b", "side")
    watch.push()
    assert watch.look() == []
    watch.git("push", "-q", "origin", "--delete", "side")
    assert watch.look() == []
    assert "branch side is gone" in watch.said


def test_settings_say_which_branches_are_watched(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACE_ASSETS_PRODUCTION_BRANCHES", "release/*")
    monkeypatch.setenv("FACE_ASSETS_EXPERIMENT_BRANCHES", "try/*, test/*")
    assert watch.look() == []
    watch.git("checkout", "-q", "-b", "release/1")
    released = watch.commit(2)
    watch.git("checkout", "-q", "-b", "test/2")
    tried = watch.commit(3)
    assert watch.look() == [(COMMIT_TO_LIVE, released), (COMMIT_TO_EVALUATION, tried)]


def test_an_unreachable_repository_loses_nothing(watch: Watch) -> None:
    watch.look()
    away = watch.source.with_name("away.git")
    first = watch.commit(2)
    watch.source.rename(away)
    assert watch.look() == []
    assert "cannot be read" in watch.said
    away.rename(watch.source)
    second = watch.commit(3)
    assert watch.look() == live(first, second)


def test_a_shallow_repository_is_watched(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    watch.commit(2)
    shallow = watch.source.with_name("shallow.git")
    git("clone", "-q", "--bare", "--depth", "1", f"file://{watch.source}", str(shallow))
    monkeypatch.setenv("FACE_ASSETS_REPO", str(shallow))
    assert watch.look() == live(watch.head())
    watch.git("remote", "set-url", "origin", str(shallow))
    watch.commit(3)
    assert watch.look() == live(watch.head())


def test_a_commit_whose_photos_are_not_pushed_waits_and_runs_when_they_arrive(watch: Watch) -> None:
    watch.look()
    remote = watch.clone.with_name("data.dvc-remote")
    away = remote.with_name("away")
    remote.rename(away)
    remote.mkdir()
    waiting = watch.commit(2)
    assert watch.look() == []
    assert "photos of commit" in watch.said
    assert "dvc push" in watch.said
    shutil.rmtree(remote)
    away.rename(remote)
    asked: list[tuple[str, str]] = []
    assert until(lambda: bool(asked.extend(watch.look()) or asked))
    assert asked == live(waiting)
    assert watch.look() == []


@pytest.mark.slow
def test_a_remote_that_never_answers_holds_up_its_own_commit_alone_and_leaves_nothing(
    watch: Watch, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(availability, "SECONDS_TO_ANSWER", 10.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = watch.clone / ".dvc" / "config"
        watch.git("checkout", "-q", "-b", "elsewhere")
        config.write_text(f"[core]\n    remote = away\n['remote \"away\"']\n    url = http://127.0.0.1:{silent.getsockname()[1]}/\n")
        watch.commit(2)
        watch.git("checkout", "-q", "main")
        wanted = watch.commit(3)
        assert watch.look() == live(wanted)
        assert [one["branch"] for one in watch.waits] == ["elsewhere"]
        assert not list((home / "clones").iterdir())


def test_a_commit_that_waits_is_dropped_with_its_branch(watch: Watch) -> None:
    watch.look()
    remote = watch.clone.with_name("data.dvc-remote")
    remote.rename(remote.with_name("away"))
    watch.git("checkout", "-q", "-b", "side")
    watch.commit(2)
    assert watch.look() == []
    watch.git("push", "-q", "origin", "--delete", "side")
    asked: list[tuple[str, str]] = []
    assert until(lambda: bool(asked.extend(watch.look())) or "is on no branch any more" in watch.said)
    assert asked == []


def test_a_branch_without_a_data_set_is_left_alone(watch: Watch) -> None:
    watch.look()
    watch.git("checkout", "-q", "--orphan", "pages")
    watch.git("rm", "-q", "-r", "--cached", ".")
    (watch.clone / "index.html").write_text("hello")
    watch.git("add", "index.html")
    watch.git("commit", "-q", "-m", "A page")
    watch.push()
    assert watch.look() == []
    assert "holds no photos.dvc and no params.yaml" in watch.said


def test_a_look_at_nothing_new_reads_the_list_of_branches_and_no_more(watch: Watch, home: Path) -> None:
    watch.look()
    shutil.rmtree(home / "mirrors")
    assert watch.look() == []
    assert watch.said == "Nothing new."


def test_what_was_run_by_hand_is_not_run_again_nor_a_rollback_undone(watch: Watch, production: Callable[[str], None]) -> None:
    base = watch.head()
    second = watch.commit(2)
    watch.instance.add_run(dg.DagsterRun(COMMIT_TO_LIVE, status=dg.DagsterRunStatus.SUCCESS, tags={"dagster/partition": second}))
    production(base)
    assert watch.look() == []
    assert "has run already" in watch.said
    third = watch.commit(3)
    watch.instance.add_run(dg.DagsterRun(COMMIT_TO_LIVE, status=dg.DagsterRunStatus.STARTED, tags={"dagster/partition": third}))
    assert watch.look() == []
