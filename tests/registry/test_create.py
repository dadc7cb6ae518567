"""face-assets init: a data repository from a folder of photos."""

from pathlib import Path

import pytest

from face_assets.errors import UserError
from face_assets.registry.create import commit_photos, create_repository, photo_files
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.git import git


def nothing(done: int, whole: int, what: str) -> None:
    """No progress to show."""


def test_it_holds_the_photos_and_can_grow(repository: Path, photos: Path, tmp_path: Path) -> None:
    added = tmp_path / "added" / "Carla"
    added.mkdir(parents=True)
    (added / "1.jpg").write_bytes(b"new")
    commit = commit_photos(repository, tmp_path / "added", "Add Carla")
    data = DataRepository(str(repository), tmp_path / "home")
    data.refresh()
    assert len(data.files(commit, "photos")) == len(photo_files(photos)) + 1
    assert not git("status", "--porcelain", cwd=repository)


def test_links_that_leave_the_folder_are_left_out(photos: Path) -> None:
    (photos / "Ann" / "secret.jpg").symlink_to("/etc/hostname")
    (photos / "Ann" / "same.jpg").symlink_to(photos / "Bob" / "0 a.jpg")
    names = {file.as_posix() for file in photo_files(photos)}
    assert "Ann/secret.jpg" not in names
    assert "Ann/same.jpg" in names


def test_what_cannot_be_done_is_said_before_anything_is_made(photos: Path, repository: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no files"):
        create_repository(tmp_path / "new", tmp_path / "empty", "", None, None, nothing)
    assert not (tmp_path / "new").exists()
    with pytest.raises(UserError, match="data repository already"):
        create_repository(repository, photos, "", None, None, nothing)
    with pytest.raises(UserError, match="no git repository"):
        create_repository(photos, photos, "", None, None, nothing)


def test_what_a_killed_init_left_is_finished(photos: Path, tmp_path: Path) -> None:
    git("init", "-q", tmp_path / "data")
    (tmp_path / "data" / "photos" / "Ann").mkdir(parents=True)
    (tmp_path / "data" / "photos" / "Ann" / "0 a.jpg").write_bytes(b"half")
    commit = create_repository(tmp_path / "data", photos, "", None, None, nothing)
    data = DataRepository(str(tmp_path / "data"), tmp_path / "home")
    file = next(file for file in data.files(commit, "photos") if file.path == "Ann/0 a.jpg")
    assert data.locate(commit, "photos", [file.md5])[file.md5].read_bytes() == (photos / "Ann" / "0 a.jpg").read_bytes()
