"""face-assets init: a data repository from a folder of photos."""

import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from face_assets.core.errors import UserError
from face_assets.dataset.photo_survey import survey
from face_assets.dataset.repository_creation import commit_photos, create_repository
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.git import git
from tests.conftest import PEOPLE


def test_it_holds_the_photos_and_can_grow(repository: Path, tmp_path: Path) -> None:
    photos = repository / "photos"
    before = len(survey(photos).files)
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
    names = {file.as_posix() for file in survey(photos).files}
    assert "Ann/secret.jpg" not in names
    assert "Ann/same.jpg" in names


def test_what_is_not_copied_is_named(photos: Path, tmp_path: Path) -> None:
    def add(path: str) -> Path:
        (photos / path).parent.mkdir(parents=True, exist_ok=True)
        (photos / path).write_bytes((photos / "Ann" / "0 a.jpg").read_bytes())
        return photos / path

    for path in ("@eaDir/a.jpg", "Ann/@eaDir/a.jpg", "Ann/.thumbnails/a.jpg", "Bob/Thumbs.db", "Bob/0 a.mov", "loose.jpg", "ann/3.jpg"):
        add(path)
    add("Ann/2024/nested.jpg")
    (photos / "Carl").mkdir()
    (photos / "Dora").symlink_to("Ann")
    (photos / "Ann" / "gone.jpg").symlink_to("nowhere")
    (photos / "Ann" / "out.jpg").symlink_to("/etc/hostname")
    os.mkfifo(photos / "Ann" / "pipe.jpg")
    said: list[str] = []
    commit = create_repository(tmp_path / "data", photos, "", None, None, said.append)
    taken = {file.path for file in DataRepository(str(tmp_path / "data"), tmp_path / "home").files(commit, "photos")}
    assert taken == {*(f"{name}/{number} a.jpg" for name in PEOPLE for number in range(2)), "ann/3.jpg", "Ann/2024/nested.jpg"}
    named = "\n".join(said)
    for path in (
        "'@eaDir/'",
        "'Ann/@eaDir/'",
        "'Ann/.thumbnails/'",
        "Thumbs.db",
        "0 a.mov",
        "loose.jpg",
        "'Carl'",
        "'Dora/'",
        "gone",
        "out",
        "pipe",
    ):
        assert path in named
    assert "'Ann', 'ann' are taken for one person" in named


def test_photos_that_lie_loose_are_named_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "1.jpg").write_bytes(b"photo")
    with pytest.raises(UserError, match=r"in no person's folder: '1\.jpg'.*one folder a person"):
        create_repository(tmp_path / "data", tmp_path / "flat", "", None, None)
    assert not (tmp_path / "data").exists()


def test_what_cannot_be_done_is_said_before_anything_is_made(photos: Path, repository: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no files"):
        create_repository(tmp_path / "new", tmp_path / "empty", "", None, None)
    assert not (tmp_path / "new").exists()
    with pytest.raises(UserError, match="data repository already"):
        create_repository(repository, photos, "", None, None)
    with pytest.raises(UserError, match="no git repository"):
        create_repository(photos, photos, "", None, None)


def _create(path: Path, photos: Path) -> None:
    create_repository(path, photos, "", None, None)


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
    commit = create_repository(data, photos, "", None, None)
    read = DataRepository(str(data), tmp_path / "home")
    files = read.files(commit, "photos")
    located = read.locate(commit, "photos", [file.md5 for file in files])
    assert {file.path: located[file.md5].read_bytes() for file in files} == {
        name.as_posix(): (photos / name).read_bytes() for name in survey(photos).files
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
    commit = create_repository(data, data / "photos", "", None, None)
    assert (data / ".dvc" / "config").read_text() == before
    assert len(survey(data / "photos").files) == 6, "the photos were in place already"
    assert (tmp_path / "team, store" / "files").is_dir()
    shutil.rmtree(data / ".dvc" / "cache")
    assert len(DataRepository(str(data), tmp_path / "home").files(commit, "photos")) == 6


def test_a_remote_that_cannot_be_written_is_told_with_its_reason_and_the_next_call_ends_it(
    tmp_path: Path, make_photos: Callable[[Path], Path]
) -> None:
    photos, repository, blocked = make_photos(tmp_path / "photos"), tmp_path / "data", tmp_path / "blocked"
    blocked.write_text("no folder")
    with pytest.raises(UserError, match=rf"dvc push: .*{blocked}"):
        create_repository(repository, photos, "", str(blocked / "remote"), None)
    blocked.unlink()
    assert create_repository(repository, photos, "", str(blocked / "remote"), None)


def test_a_path_with_blanks_quotes_and_letters_beyond_ascii_is_written_and_read(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="both kinds of quotes"):
        create_repository(tmp_path / "Zoë's" / '"faces"', photos, "", None, None)
    assert not (tmp_path / "Zoë's").exists()
    data = tmp_path / "Zoë's, faces #1" / "r"
    data.parent.mkdir()
    commit = create_repository(data, photos, "", None, None)
    shutil.rmtree(data / ".dvc" / "cache")
    read = DataRepository(str(data), tmp_path / "hömé 's")
    assert len(read.locate(commit, "photos", [file.md5 for file in read.files(commit, "photos")])) == 6
