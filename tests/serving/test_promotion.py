"""Decisions about production: by the gate for commits of its branches, and by a person, whose decision holds."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import pytest

from face_assets.cli.releases import promote_release, resume_following
from face_assets.cli.services import stop_services
from face_assets.cli.status import status_report
from face_assets.cli.status_text import status_text
from face_assets.core.errors import UserError
from face_assets.core.settings import load_settings
from face_assets.registry.decision import gate_message, person_message
from face_assets.registry.git import git
from face_assets.registry.person import PLATFORM, Person, git_identity
from face_assets.registry.releases import Digests, Release
from face_assets.registry.workspace import Workspace
from face_assets.release.promotion import Staged, stage_release
from face_assets.serving.machine_state import Observed, publish_state, record_attempt
from face_assets.serving.steps import _roll_back
from face_assets.serving.target import DeploymentRefusedError
from face_assets.storage.home import Home

ANN = Person("Ann", "ann@example.org")
FIGURES = {"auc": 0.9, "accuracy": 0.9, "tar": {}}


class Repository:
    """A data repository in which each commit has a release: as the registry writes it, but without a bundle, which no test needs."""

    def __init__(self, folder: Path, workspace: Workspace):
        self.folder = folder
        self.workspace = workspace
        self.made = 0

    def release(self, metrics: Mapping[str, object] = FIGURES) -> tuple[str, Release]:
        """A new commit on the branch that is checked out, and its release."""
        git("commit", "-q", "--allow-empty", "-m", "Change it", cwd=self.folder)
        commit = git("rev-parse", "HEAD", cwd=self.folder).decode().strip()
        self.made += 1
        release = Release(f"v{self.made}.0.0", "", commit, commit, Digests(commit, "a", "a"), dict(metrics))
        (self.folder / "release.json").write_text(json.dumps({**asdict(release), "digests": release.digests.to_json()}))
        git("add", "release.json", cwd=self.folder)
        tree = git("write-tree", cwd=self.folder).decode().strip()
        released = git("commit-tree", tree, "-p", commit, "-m", "Release", cwd=self.folder).decode().strip()
        git("tag", "-a", "-m", "Release", release.tag, released, cwd=self.folder)
        git("reset", "-q", "--hard", cwd=self.folder)
        self.workspace.repository.refresh()
        return commit, self.workspace.releases.get(release.version)

    def stage(self, commit: str, release: Release, judge: Callable[[Release | None], list[str]] = lambda _: []) -> Staged:
        return stage_release(self.workspace, commit, release, judge)

    @property
    def production(self) -> str | None:
        self.workspace.repository.refresh()
        found = self.workspace.stages.production()
        return found.release.version if found else None


@pytest.fixture
def data(repository: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    monkeypatch.setenv("FACE_ASSETS_REPO", str(repository))
    yield Repository(repository, Workspace(load_settings()))


def test_only_a_commit_of_a_production_branch_goes_to_production(data: Repository) -> None:
    assert data.stage(*data.release()) == Staged(True, "put in production: the gate let it through")
    git("checkout", "-q", "-b", "experiment", cwd=data.folder)
    commit, release = data.release()
    staged = data.stage(commit, release)
    assert (staged.in_production, staged.is_refused, data.production) == (False, False, "v1.0.0")
    assert "on no branch of production" in staged.reason and "`face-assets promote v2.0.0`" in staged.reason
    git("branch", "-f", "main", commit, cwd=data.folder)
    assert data.stage(commit, release).in_production, "it was merged"
    git("branch", "-f", "main", f"{commit}~1", cwd=data.folder)
    next_commit, next_release = data.release()

    def merged_meanwhile(beside: Release | None) -> list[str]:
        git("branch", "-f", "main", next_commit, cwd=data.folder)
        return []

    assert not data.stage(next_commit, next_release, merged_meanwhile).in_production
    assert data.production == "v2.0.0"


def test_what_a_person_decided_holds_and_what_the_gate_lets_through_waits(data: Repository) -> None:
    data.stage(*data.release())
    data.stage(*data.release())
    stages, ann = data.workspace.stages, Person("Ann", "ann@example.org")
    stages.assign("v1.0.0", person_message("Too many false accepts"), ann)
    commit, release = data.release()
    staged = data.stage(commit, release)
    assert not staged.in_production and "it waits: Ann put v1.0.0 into production (Too many false accepts)" in staged.reason
    tags = git("tag", cwd=data.folder)
    assert "it waits already" in data.stage(commit, release).reason
    assert data.stage(*data.release(), lambda _: ["worse"]) == Staged(False, "not put in production, the gate refused it: worse", True)
    assert set(git("tag", cwd=data.folder).split()) - set(tags.split()) == {b"face-recognizer@v4.0.0"}
    waiting = stages.waiting()
    assert data.production == "v1.0.0" and waiting and (waiting.release.version, waiting.commit) == ("v3.0.0", commit)
    said = status_text(status_report())
    assert "by Ann: Too many false accepts" in said and f"v3.0.0 waits, of commit {commit[:12]}" in said
    stages.assign("v1.0.0", person_message("Go on", follow=True), ann, again=True)
    assert data.stage(commit, release) == Staged(True, "put in production: the gate let it through")


def test_a_person_who_decides_while_the_gate_judges_is_not_overruled(data: Repository) -> None:
    data.stage(*data.release())
    data.stage(*data.release())
    beside: list[str | None] = []

    def judge(other: Release | None) -> list[str]:
        beside.append(other.version if other else None)
        if len(beside) == 1:
            data.workspace.stages.assign("v1.0.0", person_message("Back"), Person("Ann", "ann@example.org"))
        return []

    assert "it waits" in data.stage(*data.release(), judge).reason
    assert (beside, data.production) == (["v2.0.0", "v1.0.0"], "v1.0.0")


def test_a_decision_names_the_person_of_git_and_never_guesses_one(
    data: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert git_identity(data.workspace.home.root.parent) == Person("Ann", "ann@example.org")
    for who in ("COMMITTER", "AUTHOR"):
        for what in ("NAME", "EMAIL"):
            monkeypatch.delenv(f"GIT_{who}_{what}")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "none"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    assert git_identity(tmp_path) == PLATFORM
    (tmp_path / "gitconfig").write_text('[user]\n\tname = Zoë "Z" <Müller>\n\temail = z@example.org\n', encoding="utf-8")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    assert git_identity(tmp_path).email == "z@example.org"


def test_resume_where_nothing_holds_changes_nothing(data: Repository) -> None:
    data.stage(*data.release())
    tags = git("tag", cwd=data.folder)
    assert resume_following("", quiet=True)["released"] is None
    assert git("tag", cwd=data.folder) == tags
    with pytest.raises(Exception, match="v9"):
        promote_release("v9.0.0", "", follow=False, quiet=True)
    assert git("tag", cwd=data.folder) == tags


def test_a_refusal_by_a_release_that_a_person_removed_meanwhile_is_made_anew(data: Repository) -> None:
    data.stage(*data.release())
    data.stage(*data.release())

    def judge(beside: Release | None) -> list[str]:
        if beside and beside.version == "v2.0.0":
            data.workspace.stages.assign("v1.0.0", person_message("Back"), ANN)
            return ["worse than v2.0.0"]
        return []

    assert "it waits" in data.stage(*data.release(), judge).reason


def test_of_two_runs_at_once_the_newer_commit_is_what_waits(data: Repository) -> None:
    data.stage(*data.release())
    data.workspace.stages.assign("v1.0.0", person_message("Hold"), ANN, again=True)
    older, newer = data.release(), data.release()

    def judge(beside: Release | None) -> list[str]:
        data.stage(*newer)  # on another machine
        return []

    said = data.stage(*older, judge)
    assert not said.is_refused and f"v3.0.0 waits for the newer commit {newer[0][:12]}" in said.reason
    waiting = data.workspace.stages.waiting()
    assert waiting and waiting.release == newer[1]


def test_an_older_commit_that_ends_late_is_not_compared_with_the_newer(data: Repository) -> None:
    data.stage(*data.release())
    older, newer = data.release(), data.release()
    data.stage(*newer)
    late = data.stage(*older, lambda _: ["worse"])
    assert not late.is_refused and f"v3.0.0 was put there for the newer commit {newer[0][:12]}" in late.reason


def test_an_experiment_that_a_person_promoted_is_in_production_also_when_it_is_merged(data: Repository) -> None:
    data.stage(*data.release())
    git("checkout", "-q", "-b", "experiment", cwd=data.folder)
    _, release = data.release()
    data.workspace.stages.assign(release.version, person_message("The better one"), ANN)
    git("checkout", "-q", "main", cwd=data.folder)
    assert "it waits" in data.stage(*data.release()).reason
    git("merge", "-q", "--no-ff", "-m", "Merge", "experiment", cwd=data.folder)
    merge = git("rev-parse", "HEAD", cwd=data.folder).decode().strip()
    there = Staged(True, "is in production already")
    assert data.stage(merge, release) == there
    assert data.workspace.stages.waiting() is None, "the merge came after what waited"
    tags = git("tag", cwd=data.folder)
    assert data.stage(merge, release) == there
    git("branch", "-q", "-D", "experiment", cwd=data.folder)
    assert data.stage(merge, release) == there
    assert git("tag", cwd=data.folder) == tags


def resumed(data: Repository, monkeypatch: pytest.MonkeyPatch, reasons: list[str]) -> tuple[dict[str, object], list[str]]:
    """The report of `face-assets resume`, and the commits that it ran for: a run is here its last step, with the gate's reasons."""
    ran: list[str] = []

    def run(home: Home, job: str, commit: str, tags: dict[str, str], quiet: bool) -> dict[str, object]:
        ran.append(commit)
        version = next(one for one in data.workspace.releases.all() if one.trained_commit == commit)
        staged = data.stage(commit, version, lambda _: reasons)
        return {"success": not staged.is_refused, "refused": staged.is_refused}

    monkeypatch.setattr("face_assets.cli.releases.run_on_terminal", run)
    return resume_following("Go on", quiet=True), ran


@pytest.mark.parametrize(("reasons", "production"), [([], "v3.0.0"), (["worse"], "v1.0.0")])
def test_resume_runs_the_commit_that_waits(data: Repository, monkeypatch: pytest.MonkeyPatch, reasons: list[str], production: str) -> None:
    for _ in range(2):
        data.stage(*data.release())
    data.workspace.stages.assign("v1.0.0", person_message("Back"), ANN)
    commit, release = data.release()
    data.stage(commit, release)
    report, ran = resumed(data, monkeypatch, reasons)
    assert (ran, report["run_for"], report["success"], report["refused"]) == ([commit], commit, not reasons, bool(reasons))
    assert report["repository"] == str(data.folder)
    assert (data.production, data.workspace.stages.hold(), data.workspace.stages.waiting()) == (production, None, None)
    last = data.workspace.stages.history()[-1 if reasons else -2]
    assert (last.author, last.email, last.decision.reason, last.decision.by) == ("Ann", "ann@example.org", "Go on", "person")


def test_resume_puts_nothing_into_production_that_is_on_no_branch_any_more(data: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    commit, release = data.release()
    data.stage(commit, release)
    now = data.workspace.stages.production()
    assert now
    same_second = {"GIT_COMMITTER_DATE": f"{now.when} +0000"}
    git("tag", "-a", "-m", "Out", "face-recognizer#production!#2", release.commit, cwd=data.folder, env=same_second)
    data.workspace.repository.refresh()
    said = status_text(status_report())
    assert "production  no release" in said and "Ann keeps v1.0.0 out of production (Out)" in said
    data.stage(*data.release())
    waiting = data.workspace.stages.waiting()
    assert waiting and waiting.release.version == "v2.0.0"
    git("reset", "-q", "--hard", commit, cwd=data.folder)
    with pytest.raises(UserError, match=r"v2\.0\.0, is of commit .* on no branch of production any more: `face-assets promote"):
        resume_following("", quiet=True)
    assert data.production is None
    git("reset", "-q", "--hard", waiting.commit, cwd=data.folder)
    assert resumed(data, monkeypatch, [])[0]["success"]
    assert data.production == "v2.0.0"


def test_what_no_longer_waits_is_said_where_a_run_fails(
    data: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data.stage(*data.release())
    data.workspace.stages.assign("v1.0.0", person_message("Hold"), ANN, again=True)
    commit, release = data.release()
    data.stage(commit, release)
    failed = {"success": False, "refused": False}
    monkeypatch.setattr("face_assets.cli.releases.run_on_terminal", lambda *_: failed)
    assert not resume_following("", quiet=False)["success"]
    assert f"v2.0.0 waits no more: `face-assets run --commit {commit[:12]}`" in capsys.readouterr().err


@pytest.mark.parametrize(("follow", "by"), [(False, "person"), (True, "person"), (None, "machine")])
def test_a_machine_that_may_roll_back_overrules_no_person(
    data: Repository, monkeypatch: pytest.MonkeyPatch, follow: bool | None, by: str
) -> None:
    monkeypatch.setenv("FACE_ASSETS_MACHINE", "gpu-1")
    monkeypatch.setenv("FACE_ASSETS_ROLLBACK_BY", "gpu-1")
    workspace = Workspace(load_settings())
    data.stage(*data.release())
    commit, _ = data.release()
    message = gate_message("The gate let it through", commit) if follow is None else person_message("Try it", follow)
    assigned = workspace.stages.assign("v2.0.0", message, PLATFORM if follow is None else ANN)
    assert assigned
    said = _roll_back(workspace, assigned, "v1.0.0", DeploymentRefusedError("too late", None))
    assert data.production == ("v1.0.0" if by == "machine" else "v2.0.0")
    assert ("was rolled back to v1.0.0" if by == "machine" else "Production stays v2.0.0: Ann put it there") in said
    last = data.workspace.stages.last()
    assert last and last.decision.by == by
    assert last.author == ("Ann" if by == "person" else PLATFORM.name)


@pytest.mark.parametrize(
    "metrics", [{}, {"auc": 0.9}, {"auc": "high", "accuracy": 10**400, "tar": [1]}, {"auc": 0.9, "tar": {"\x1b[2J": 0.5, "b": None}}]
)
def test_a_status_shows_of_a_releases_figures_what_is_there(data: Repository, metrics: dict[str, object]) -> None:
    commit, release = data.release(metrics)
    assert data.stage(commit, release).in_production
    said = status_text(status_report())
    assert "v1.0.0 of commit" in said and "\x1b" not in said
    assert ("AUC 0.9000" if metrics.get("auc") == 0.9 else "no figures") in said


def test_a_decision_of_an_earlier_version_is_said_where_it_holds(data: Repository) -> None:
    for _ in range(2):
        data.stage(*data.release())
    data.workspace.stages.assign("v1.0.0", "Rolled back from v2.0.0", PLATFORM)
    sentence = "put v1.0.0 into production (Rolled back from v2.0.0), which holds until `face-assets resume`"
    assert sentence in status_text(status_report())
    assert sentence in data.stage(*data.release()).reason


def test_a_tag_from_a_clock_that_is_ahead_is_said_and_a_promotion_counts_all_the_same(data: Repository) -> None:
    _, first = data.release()
    _, second = data.release()
    data.stage(first.trained_commit, first)
    assert data.workspace.stages.ahead() is None

    def assign(release: Release, number: int, when: str) -> None:
        tag = f"face-recognizer#production#{number}"
        variables = {"GIT_COMMITTER_DATE": when, "GIT_COMMITTER_NAME": "Gil"}
        git("tag", "-a", "-m", "By gto", tag, release.commit, cwd=data.folder, env=variables)

    assign(second, 2, "2090-01-01T00:00:00Z")
    assign(first, 3, "2050-01-01T00:00:00Z")
    said = status_text(status_report())
    assert "production  v2.0.0" in said and "\n            not v2.0.0: the server does not run" in said
    assert "face-recognizer#production#2 by Gil is dated 2090-01-01T00:00:00" in said
    data.workspace.stages.assign("v1.0.0", person_message("Back"), ANN)
    assert data.production == "v1.0.0"


def test_after_down_colleagues_see_that_this_machine_serves_nothing(data: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACE_ASSETS_MACHINE", "gpu-1")
    data.stage(*data.release())
    workspace = Workspace(load_settings())
    now = workspace.stages.production()
    assert now
    record_attempt(workspace, now, "v1.0.0")
    publish_state(workspace, Observed("v1.0.0", now.tag, "v1.0.0", now.time, "", ""))
    report = status_report()
    assert "machine     gpu-1 serves v1.0.0 since" in status_text(report)
    report["production"]["machines"][0]["seen"] = "2026-01-01T00:00:00Z"
    said = status_text(report)
    assert "machine     gpu-1 served v1.0.0 since" in said and "(no sign of life since 2026-01-01" in said
    stop_services()
    assert "machine     gpu-1 serves nothing, not v1.0.0: stopped (seen" in status_text(status_report())
