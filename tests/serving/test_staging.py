"""Who decides about production: the gate for commits of its branches, and a person, whose decision holds."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from face_assets.cli.releases import promote_release, resume_following
from face_assets.cli.status import status_report, status_text
from face_assets.core.settings import load_settings
from face_assets.registry.decision import person_message
from face_assets.registry.git import git
from face_assets.registry.person import PLATFORM, Person, git_identity
from face_assets.registry.releases import Digests, Release
from face_assets.registry.workspace import Workspace
from face_assets.release.staging import stage_release


class Repository:
    """A data repository in which each commit has a release: as the registry writes it, but without a bundle, which nobody asks for."""

    def __init__(self, folder: Path, workspace: Workspace):
        self.folder = folder
        self.workspace = workspace
        self.made = 0

    def release(self) -> tuple[str, Release]:
        """A new commit on the branch that is checked out, and its release."""
        git("commit", "-q", "--allow-empty", "-m", "Change it", cwd=self.folder)
        commit = git("rev-parse", "HEAD", cwd=self.folder).decode().strip()
        self.made += 1
        release = Release(f"v{self.made}.0.0", "", commit, commit, Digests(commit, "a", "a"), {"auc": 0.9, "accuracy": 0.9, "tar": {}})
        (self.folder / "release.json").write_text(json.dumps(asdict(release)))
        git("add", "release.json", cwd=self.folder)
        tree = git("write-tree", cwd=self.folder).decode().strip()
        released = git("commit-tree", tree, "-p", commit, "-m", "Release", cwd=self.folder).decode().strip()
        git("tag", "-a", "-m", "Release", release.tag, released, cwd=self.folder)
        git("reset", "-q", "--hard", cwd=self.folder)
        self.workspace.repository.refresh()
        return commit, self.workspace.releases.get(release.version)

    def stage(self, commit: str, release: Release, judge: Callable[[Release | None], list[str]] = lambda _: []) -> tuple[bool, str]:
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
    assert data.stage(*data.release()) == (True, "put in production: the gate let it through")
    git("checkout", "-q", "-b", "experiment", cwd=data.folder)
    commit, release = data.release()
    staged, reason = data.stage(commit, release)
    assert (staged, data.production) == (False, "v1.0.0")
    assert "on no branch of production" in reason and "`face-assets promote v2.0.0`" in reason
    git("branch", "-f", "main", commit, cwd=data.folder)
    assert data.stage(commit, release)[0], "it was merged"
    git("branch", "-f", "main", f"{commit}~1", cwd=data.folder)
    next_commit, next_release = data.release()

    def merged_meanwhile(beside: Release | None) -> list[str]:
        git("branch", "-f", "main", next_commit, cwd=data.folder)
        return []

    assert not data.stage(next_commit, next_release, merged_meanwhile)[0]
    assert data.production == "v2.0.0"


def test_what_a_person_decided_holds_and_what_the_gate_lets_through_waits(data: Repository) -> None:
    data.stage(*data.release())
    data.stage(*data.release())
    stages, ann = data.workspace.stages, Person("Ann", "ann@example.org")
    stages.assign("v1.0.0", person_message("Too many false accepts"), ann)
    commit, release = data.release()
    staged, reason = data.stage(commit, release)
    assert not staged and "it waits: Ann put v1.0.0 into production (Too many false accepts)" in reason
    assert not data.stage(*data.release(), lambda _: ["worse"])[0]
    waiting = stages.waiting()
    assert data.production == "v1.0.0" and waiting and (waiting.release.version, waiting.commit) == ("v3.0.0", commit)
    said = status_text(status_report())
    assert "by Ann: Too many false accepts" in said and f"v3.0.0 waits, of commit {commit[:12]}" in said
    stages.assign("v1.0.0", person_message("Go on", follow=True), ann, again=True)
    assert data.stage(commit, release) == (True, "put in production: the gate let it through")


def test_a_person_who_decides_while_the_gate_judges_is_not_overruled(data: Repository) -> None:
    data.stage(*data.release())
    data.stage(*data.release())
    beside: list[str | None] = []

    def judge(other: Release | None) -> list[str]:
        beside.append(other.version if other else None)
        if len(beside) == 1:
            data.workspace.stages.assign("v1.0.0", person_message("Back"), Person("Ann", "ann@example.org"))
        return []

    assert "it waits" in data.stage(*data.release(), judge)[1]
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
