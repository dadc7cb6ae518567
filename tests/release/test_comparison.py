"""Comparison of two releases or commits: the groups of both, the data that changed, and pairs that really became worse."""

from pathlib import Path

import pytest

from face_assets.cli.comparison_page import as_markdown
from face_assets.core.errors import UserError
from face_assets.core.identifiers import CommitId
from face_assets.core.settings import load_settings, remember
from face_assets.registry.folder_commit import DataChange, commit_data
from face_assets.registry.git import git
from face_assets.registry.person import PLATFORM
from face_assets.registry.workspace import Workspace
from face_assets.release.comparison import compare, data_change, group_rows, people_at
from tests.release.made_evaluation import evaluate

RATES = {"accept_rate": {"value": 0.9, "low": 0.8, "high": 0.95}, "false_accept_rate": {"value": None, "low": None, "high": None}}


def test_groups_of_both_releases_stand_side_by_side() -> None:
    before = {"age": {"old": {"with_pairs": 5, "figures": {}}}}
    after = {"age": {"old": {"with_pairs": 12, "figures": RATES}, "young": {"with_pairs": 30, "figures": RATES}}}
    rows = {(one.group, one.figure): (one.first, one.second) for one in group_rows(before, after)}
    assert rows["old", "accept_rate"] == ("too few: 5 people with two photos", "0.9000 (0.8000 to 0.9500)")
    assert rows["young", "false_accept_rate"] == ("", "not measurable")
    assert group_rows({}, {}) == []


def test_any_two_evaluated_commits_are_compared_by_name(repository: Path, home: Path) -> None:
    remember(repo=str(repository))
    workspace = Workspace(load_settings())
    workspace.repository.refresh()
    main = workspace.repository.resolve("main")
    photos = ["Ann/0 a.jpg", "Ann/1 a.jpg", "Bob/0 a.jpg", "Bob/1 a.jpg"]
    evaluate(workspace, main, photos, {("Ann/0 a.jpg", "Ann/1 a.jpg"): 0.60, ("Bob/0 a.jpg", "Bob/1 a.jpg"): 0.60})
    git("checkout", "-q", "-b", "exp/branch", cwd=repository)
    (repository / "params.yaml").write_text("train: {epochs: 3}\n")
    git("commit", "-q", "-a", "-m", "Longer", cwd=repository)
    git("checkout", "-q", "main", cwd=repository)
    workspace.repository.refresh()
    branch = workspace.repository.resolve("exp/branch")
    with pytest.raises(UserError, match=r"exp/branch \(commit [0-9a-f]{12}\) was not evaluated on this machine"):
        compare(workspace, "exp/branch", main)
    with pytest.raises(UserError, match=r"v9\.0\.0"):
        compare(workspace, "9.0.0", main)
    evaluate(workspace, branch, photos, {("Ann/0 a.jpg", "Ann/1 a.jpg"): 0.59, ("Bob/0 a.jpg", "Bob/1 a.jpg"): 0.40})
    found = compare(workspace, main[:12], "exp/branch")
    assert (found.first.name, found.second.name) == (main[:12], "exp/branch")
    assert found.parameters == {"train.epochs": (1, 3)}
    assert [pair.first for pair in found.regressions] == ["Bob/0 a.jpg"], "a score that moved by 0.01 is not worse"
    assert found.data and (found.data.added, found.data.removed, found.data.moved) == (0, 0, {})
    text = as_markdown(found)
    assert text.startswith(f"# {main[:12]} and exp/branch") and "| photos added | 0 |" in text


def test_photos_that_changed_their_name_are_moved_and_not_new(repository: Path, home: Path) -> None:
    remember(repo=str(repository))
    workspace = Workspace(load_settings())
    workspace.repository.refresh()
    first = workspace.repository.resolve("main")

    def move(commit: CommitId) -> DataChange:
        people = people_at(workspace, commit)
        people.move("ann", "Zoë Müller")
        return DataChange({"photos": people.listing()}, {}, "Move Ann", PLATFORM)

    second = commit_data(workspace.repository, "main", move)
    assert second
    found = data_change(workspace, first, second)
    assert (found.added, found.removed, len(found.moved)) == (0, 0, 2)
    assert (found.people_added, found.people_removed) == ([], ["Ann"])
