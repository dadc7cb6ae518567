"""Commits of a folder of DVC: whole or not there, and nobody's change is lost, whoever commits meanwhile."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from face_assets.core.errors import UserError
from face_assets.core.identifiers import CommitId
from face_assets.registry import folder_commit, working_tree
from face_assets.registry.acknowledgements import acknowledged_names
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.dvc import run_dvc
from face_assets.registry.folder_commit import FolderChange, commit_folder
from face_assets.registry.git import git
from face_assets.registry.listing import TrackedFile, listing_of
from face_assets.registry.person import Person

ADA = Person("Ada <Countess> of Lovelace", "ada@example.org")


def md5_of(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def adding(data: DataRepository, path: str, content: bytes) -> Callable[[CommitId], FolderChange]:
    def change(commit: CommitId) -> FolderChange:
        files = [file for file in data.files(commit, "photos") if file.path != path]
        return FolderChange([*files, TrackedFile(path, md5_of(content))], {md5_of(content): content}, f"Add {path}", ADA, ["Ada"])

    return change


def add(data: DataRepository, path: str) -> CommitId:
    made = commit_folder(data, "main", "photos", adding(data, path, path.encode()))
    assert made
    return made


def paths(source: Path, home: Path) -> set[str]:
    data = DataRepository(f"file://{source}", home)
    data.refresh()
    files = data.files(data.resolve("main"), "photos")
    data.locate(data.resolve("main"), "photos", [file.md5 for file in files])
    return {file.path for file in files}


@pytest.fixture
def bare(repository: Path, tmp_path: Path) -> Path:
    git("clone", "-q", "--bare", repository, tmp_path / "bare.git")
    return tmp_path / "bare.git"


@pytest.fixture
def data(bare: Path, home: Path) -> DataRepository:
    return DataRepository(str(bare), home)


def test_a_listing_is_written_as_dvc_writes_it(repository: Path, tmp_path: Path) -> None:
    found = DataRepository(str(repository), tmp_path / "home")
    pointer = found.pointer(found.resolve("HEAD"), "photos")
    listing = listing_of(reversed(found.files(found.resolve("HEAD"), "photos")))
    assert f"{md5_of(listing)}.dir" == pointer.md5


def test_a_commit_changes_the_pointer_alone_and_names_its_author(
    data: DataRepository, bare: Path, repository: Path, tmp_path: Path
) -> None:
    before = data.resolve("main")
    made = add(data, "Zoë/1.jpg")
    assert data.resolve("main") == made
    shown = git("show", "--name-only", "--format=%P%n%an <%ae>%n%B", made, cwd=bare).decode().split("\n")
    assert [line for line in shown if line] == [
        *(before, "Ada Countess of Lovelace <ada@example.org>"),
        *("Add Zoë/1.jpg", "Acknowledge-Person: Ada", "photos.dvc"),
    ]
    assert acknowledged_names(data, made, before) == ["Ada"]
    shutil.rmtree(repository / ".dvc" / "cache")
    assert "Zoë/1.jpg" in paths(bare, tmp_path / "elsewhere"), "from the DVC remote"
    pointer, old = data.pointer(made, "photos"), data.pointer(before, "photos")
    assert (pointer.files, pointer.size) == (old.files + 1, old.size + len("Zoë/1.jpg".encode()))
    assert commit_folder(data, "main", "photos", lambda commit: None) is None
    git("clone", "-q", bare, tmp_path / "clone")
    run_dvc(tmp_path / "clone", ["pull"])
    assert (tmp_path / "clone" / "photos" / "Zoë" / "1.jpg").read_text() == "Zoë/1.jpg"


def test_who_commits_meanwhile_loses_nothing(data: DataRepository, bare: Path, tmp_path: Path) -> None:
    other = DataRepository(str(bare), tmp_path / "other")
    times: list[str] = []

    def interrupted(commit: CommitId) -> FolderChange:
        if len(times) < 2:
            add(other, f"Other/{len(times)}.jpg")
        times.append(commit)
        return adding(data, "Mine/1.jpg", b"mine")(commit)

    assert commit_folder(data, "main", "photos", interrupted)
    assert len(set(times)) == 3
    assert paths(bare, tmp_path / "home2") >= {"Mine/1.jpg", "Other/0.jpg", "Other/1.jpg"}


def test_a_branch_that_never_rests_is_given_up(data: DataRepository, bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_commit, "TRIES", 2)
    other = DataRepository(str(bare), tmp_path / "other")
    count = iter(range(9))

    def interrupted(commit: CommitId) -> FolderChange:
        monkeypatch.setattr(folder_commit, "TRIES", 1)
        add(other, f"Other/{next(count)}.jpg")
        return adding(data, "Mine/1.jpg", b"mine")(commit)

    with pytest.raises(UserError, match="Others kept committing to main"):
        commit_folder(data, "main", "photos", interrupted)
    assert "Mine/1.jpg" not in paths(bare, tmp_path / "home2")


def test_a_commit_that_the_source_refuses_is_an_error_with_its_reason(data: DataRepository, bare: Path) -> None:
    hook = bare / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho main is protected >&2\nexit 1\n")
    hook.chmod(0o755)
    before = data.resolve("main")
    with pytest.raises(UserError, match=r"does not take the commit: .*pre-receive hook declined"):
        add(data, "Mine/1.jpg")
    data.refresh()
    assert data.resolve("main") == before
    hook.unlink()
    assert add(data, "Mine/1.jpg")


def test_nothing_is_committed_where_the_photos_cannot_be_stored(data: DataRepository, bare: Path, repository: Path, tmp_path: Path) -> None:
    before = data.resolve("main")
    store = repository.with_name("data.dvc-remote")
    data.files(before, "photos")  # which are then in a cache
    shutil.rmtree(store)
    store.write_text("no folder")
    with pytest.raises(UserError, match=r"could not be written to the DVC remote .* Nothing was changed"):
        add(data, "Mine/1.jpg")
    data.refresh()
    assert data.resolve("main") == before
    store.unlink()
    assert add(data, "Mine/1.jpg")


def test_a_killed_writer_leaves_nothing_half(data: DataRepository, bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    before = data.resolve("main")
    for step in ("_upload", "_commit", "_push"):
        with monkeypatch.context() as patched, pytest.raises(Killed):
            patched.setattr(folder_commit, step, die)
            add(data, "Mine/1.jpg")
        data.refresh()
        assert data.resolve("main") == before, step
    assert add(data, "Mine/1.jpg")
    assert git("rev-list", "--count", f"{before}..main", cwd=bare).decode().strip() == "1"


def test_a_clone_with_the_branch_checked_out_follows(repository: Path, home: Path) -> None:
    (repository / "photos" / "Ann" / "uncommitted.jpg").write_text("mine")
    data = DataRepository(str(repository), home)
    made = add(data, "Zoë/1.jpg")
    assert git("rev-parse", "HEAD", cwd=repository).decode().strip() == made
    assert git("status", "--porcelain", cwd=repository) == b""
    assert (repository / "photos" / "Zoë" / "1.jpg").read_text() == "Zoë/1.jpg"
    assert (repository / "photos" / "Ann" / "uncommitted.jpg").read_text() == "mine"

    def without(commit: CommitId) -> FolderChange:
        return FolderChange([file for file in data.files(commit, "photos") if not file.path.startswith("Zoë/")], {}, "Remove Zoë", ADA)

    commit_folder(data, "main", "photos", without)
    assert not (repository / "photos" / "Zoë").exists()
    (repository / "photos" / "Ann" / "uncommitted.jpg").unlink()
    run_dvc(repository, ["status"])
    run_dvc(repository, ["add", "photos"])
    assert git("status", "--porcelain", cwd=repository) == b"", "the folder is what its pointer says"


def test_a_clone_with_changes_of_its_own_stays_as_it_is(repository: Path, home: Path) -> None:
    data = DataRepository(str(repository), home)
    before = data.resolve("main")
    (repository / "params.yaml").write_text("train: {epochs: 2}\n")
    with pytest.raises(UserError, match="has changes that are not committed, so its branch main stays"):
        add(data, "Zoë/1.jpg")
    git("checkout", "-q", "params.yaml", cwd=repository)
    (repository / "photos" / "Zoë").mkdir()
    (repository / "photos" / "Zoë" / "1.jpg").write_text("another")
    with pytest.raises(UserError, match=r"changes of its own in photos/ \(Zoë/1.jpg\)"):
        add(data, "Zoë/1.jpg")
    assert (repository / "photos" / "Zoë" / "1.jpg").read_text() == "another"
    data.refresh()
    assert data.resolve("main") == before
    shutil.rmtree(repository / "photos")
    add(data, "Xia/1.jpg")
    assert not (repository / "photos").exists(), "photos that were never fetched are not there in part"
    git("switch", "-qc", "elsewhere", cwd=repository)
    add(data, "Yan/1.jpg")
    assert not (repository / "photos" / "Yan").exists()


def test_a_clone_that_a_killed_writer_left_behind_follows_later(repository: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = DataRepository(str(repository), home)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(working_tree.WorkingTree, "_follow", die)
        add(data, "Zoë/1.jpg")
    assert not (repository / "photos" / "Zoë").exists()
    assert commit_folder(data, "main", "photos", lambda commit: None) is None
    assert (repository / "photos" / "Zoë" / "1.jpg").read_text() == "Zoë/1.jpg"
    assert not (home / working_tree.JOURNAL).exists()
