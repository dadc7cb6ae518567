"""Checks of the data set: a search for near duplicates that ended at its limit is no clean result."""

from pathlib import Path

import pytest

from face_assets.core.settings import remember
from face_assets.dataset import duplicates
from face_assets.dataset.assets import _dataset_checks
from face_assets.dataset.repository_creation import create_repository
from face_assets.dataset.steps import version_dataset
from face_assets.demo.synthetic import draw
from face_assets.registry.workspace import Workspace

PEOPLE = 6


def test_a_search_that_left_pairs_out_says_so_and_fails_the_check(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One picture in six qualities under six names."""
    for number in range(PEOPLE):
        (tmp_path / "photos" / f"person {number}").mkdir(parents=True)
        draw(0, 0).save(tmp_path / "photos" / f"person {number}" / "1.jpg", quality=90 - number)
    create_repository(tmp_path / "data", tmp_path / "photos", "split: {min_test_people: 2}\n", None, None)
    remember(repo=str(tmp_path / "data"))
    workspace = Workspace.load()
    workspace.repository.refresh()
    monkeypatch.setattr(duplicates, "MOST_COMPARISONS", 4)
    head = workspace.repository.resolve("HEAD")
    artifact = version_dataset(workspace, head, lambda line: None)
    found = next(check for check in _dataset_checks(artifact, workspace.params(head), []) if check.check_name == "no_shared_photos")
    pairs = PEOPLE * (PEOPLE - 1) // 2
    assert not found.passed and artifact.summary["near_duplicates"] == 0
    assert artifact.summary["near_duplicates_not_compared"] >= pairs
    assert "the search is incomplete" in (found.description or "") and "photos.near_duplicate_distance" in (found.description or "")
