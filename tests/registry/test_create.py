"""face-assets init: a data repository from a folder of photos."""

import multiprocessing
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from face_assets.errors import UserError
from face_assets.registry.create import commit_photos, create_repository, photo_files
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.git import git


def nothing(done: int, whole: int, what: str) -> None:
    """No progress to show."""


def test_it_holds_the_photos_and_can_grow(repository: Path, tmp_path: Path) -> None:
    photos = repository / "photos"
    before = len(photo_files(photos))
    added = tmp_path / "added" / "Carla"
    added.mkdir(parents=True)
    (added / "1.jpg").write_bytes(b"new")
    commit = commit_photos(repository, tmp_path / "added", "Add Carla")
    data = DataRepository(str(repository), tmp_path / "home")
    data.refresh()
    assert len(data.files(commit, "photos")) == before + 1
    assert not git("status", "--porcelain", cwd=repository)
    (repository / "notes.txt").write_text("not ours")
    git("add", "notes.txt", cwd=repository)
    assert commit_photos(repository, tmp_path / "added", "Add Carla again") == commit
    assert git("status", "--porcelain", cwd=repository) == b"A  notes.txt\n"


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


def _create(path: Path, photos: Path) -> None:
    create_repository(path, photos, "", None, None, nothing)


def test_what_a_killed_init_left_is_finished(photos: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for last_seen in (data / "photos" / "Zoë Müller" / "1 a.jpg", data / "photos.dvc"):
        process = multiprocessing.get_context("spawn").Process(target=_create, args=(data, photos))
        process.start()
        while not last_seen.exists() and process.is_alive():
            time.sleep(0.02)
        process.kill()  # which does nothing to one that has ended
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert not git("for-each-ref", cwd=data), "killed before the commit"
    (data / "photos" / "Ann" / "0 a.jpg").write_bytes(b"half")
    commit = create_repository(data, photos, "", None, None, nothing)
    read = DataRepository(str(data), tmp_path / "home")
    files = read.files(commit, "photos")
    located = read.locate(commit, "photos", [file.md5 for file in files])
    assert {file.path: located[file.md5].read_bytes() for file in files} == {
        name.as_posix(): (photos / name).read_bytes() for name in photo_files(photos)
    }


def test_a_team_s_repository_is_joined_without_a_git_identity_and_keeps_its_remote(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.delenv(f"GIT_{who}_NAME")
        monkeypatch.delenv(f"GIT_{who}_EMAIL")
    (tmp_path / "gitconfig").write_text("[user]\n\tuseConfigOnly = true\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    data = tmp_path / "data"
    git("init", "-q", "-b", "trunk", data)
    (data / ".dvc").mkdir()
    before = f"""[core]\n    remote = team\n['remote "team"']\n    url = "{tmp_path}/team, store"\n"""
    (data / ".dvc" / "config").write_text(before)
    photos.rename(data / "photos")
    commit = create_repository(data, data / "photos", "", None, None, nothing)
    assert (data / ".dvc" / "config").read_text() == before
    assert len(photo_files(data / "photos")) == 6, "the photos were in place already"
    assert (tmp_path / "team, store" / "files").is_dir()
    shutil.rmtree(data / ".dvc" / "cache")
    assert len(DataRepository(str(data), tmp_path / "home").files(commit, "photos")) == 6


def test_a_remote_that_cannot_be_written_is_told_with_its_reason_and_the_next_call_ends_it(
    tmp_path: Path, make_photos: Callable[[Path], Path]
) -> None:
    photos, repository, blocked = make_photos(tmp_path / "photos"), tmp_path / "data", tmp_path / "blocked"
    blocked.write_text("no folder")
    with pytest.raises(UserError, match=rf"dvc push: .*{blocked}"):
        create_repository(repository, photos, "", str(blocked / "remote"), None, nothing)
    blocked.unlink()
    assert create_repository(repository, photos, "", str(blocked / "remote"), None, nothing)
