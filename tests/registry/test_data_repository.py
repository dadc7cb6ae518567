"""Reading a data repository at a commit: whatever state the user's clone is in, and from the DVC remote alone."""

import shutil
from pathlib import Path

import pytest

from face_assets.errors import UserError
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.git import git


def head(repository: Path) -> str:
    return git("rev-parse", "HEAD", cwd=repository).decode().strip()


def read_all(source: str, home: Path, revision: str = "HEAD") -> dict[str, bytes]:
    data = DataRepository(source, home)
    data.refresh()
    commit = data.resolve(revision)
    files = data.files(commit, "photos")
    located = data.locate(commit, "photos", [file.md5 for file in files])
    return {file.path: located[file.md5].read_bytes() for file in files}


def content(photos: Path) -> dict[str, bytes]:
    return {path.relative_to(photos).as_posix(): path.read_bytes() for path in photos.rglob("*") if path.is_file()}


def test_a_dirty_working_tree_and_held_locks_are_neither_seen_nor_touched(repository: Path, photos: Path, tmp_path: Path) -> None:
    expected = content(photos)
    (repository / "params.yaml").write_text("not: [what was committed")
    (repository / ".git" / "index.lock").write_text("held")
    (repository / ".dvc" / "tmp").mkdir(exist_ok=True)
    (repository / ".dvc" / "tmp" / "lock").write_text("held")
    shutil.rmtree(repository / "photos" / "Bob")
    assert read_all(str(repository), tmp_path / "home") == expected
    assert (repository / ".git" / "index.lock").read_text() == "held"
    data = DataRepository(str(repository), tmp_path / "home")
    assert data.read(head(repository), "params.yaml") == b"train: {epochs: 1}\n"


@pytest.mark.parametrize("kind", ["bare", "url", "shallow"])
def test_bytes_that_are_only_in_the_remote_are_fetched(repository: Path, photos: Path, tmp_path: Path, kind: str) -> None:
    source = tmp_path / "source"
    url = f"file://{repository}"
    git("clone", "-q", *{"bare": ["--bare"], "url": ["--bare"], "shallow": ["--depth", "1"]}[kind], url, source)
    shutil.rmtree(repository / ".dvc" / "cache")
    assert read_all(f"file://{source}" if kind == "url" else str(source), tmp_path / "home") == content(photos)


def test_photos_missing_everywhere_are_counted_in_a_sentence(repository: Path, tmp_path: Path) -> None:
    data = DataRepository(str(repository), tmp_path / "home")
    files = data.files(data.resolve("HEAD"), "photos")
    for cache in (repository / ".dvc" / "cache", repository.with_name("data.dvc-remote")):
        (cache / "files" / "md5" / files[0].md5[:2] / files[0].md5[2:]).unlink()
    with pytest.raises(UserError, match=r"1 of 6 files of photos.dvc .* neither in a cache nor in the DVC remote"):
        data.locate(data.resolve("HEAD"), "photos", [file.md5 for file in files])


def test_a_remote_that_is_gone_is_named(repository: Path, tmp_path: Path) -> None:
    shutil.rmtree(repository / ".dvc" / "cache")
    shutil.rmtree(repository.with_name("data.dvc-remote"))
    with pytest.raises(UserError, match=r"DVC said: .+"):
        read_all(str(repository), tmp_path / "home")


def test_a_relative_remote_is_found_from_the_source(repository: Path, photos: Path, tmp_path: Path) -> None:
    config = repository / ".dvc" / "config"
    config.write_text(config.read_text().replace(str(repository.with_name("data.dvc-remote")), "../../data.dvc-remote"))
    git("commit", "-qam", "Name the remote relatively", cwd=repository)
    shutil.rmtree(repository / ".dvc" / "cache")
    assert read_all(str(repository), tmp_path / "home") == content(photos)


def test_a_commit_that_no_branch_reaches_is_read(repository: Path, tmp_path: Path) -> None:
    git("commit", "-q", "--allow-empty", "-m", "Will be lost", cwd=repository)
    lost = head(repository)
    git("reset", "-q", "--hard", "HEAD~1", cwd=repository)
    data = DataRepository(str(repository), tmp_path / "home")
    data.refresh()
    assert data.resolve(lost) == lost
    assert data.commit_info(lost).subject == "Will be lost"


def test_a_force_push_and_a_deleted_branch_are_followed(repository: Path, tmp_path: Path) -> None:
    git("branch", "experiment", cwd=repository)
    data = DataRepository(str(repository), tmp_path / "home")
    data.refresh()
    git("commit", "-q", "--amend", "-m", "Rewritten", cwd=repository)
    git("branch", "-D", "experiment", cwd=repository)
    data.refresh()
    assert data.resolve("main") == head(repository)
    with pytest.raises(UserError, match="experiment"):
        data.resolve("experiment")


@pytest.mark.parametrize(
    ("pointer", "sentence"),
    [
        ("outs:\n- md5: abc.dir\n  path: photos\n", "DVC 2"),
        ("outs: [", "no pointer|not a pointer"),
        ("nothing: here\n", "not a pointer"),
    ],
)
def test_a_pointer_that_dvc_3_did_not_write_is_named(repository: Path, tmp_path: Path, pointer: str, sentence: str) -> None:
    (repository / "photos.dvc").write_text(pointer)
    git("commit", "-qam", "Break the pointer", cwd=repository)
    data = DataRepository(str(repository), tmp_path / "home")
    with pytest.raises(UserError, match=sentence):
        data.pointer(data.resolve("HEAD"), "photos")


def test_a_pointer_that_is_a_symbolic_link_is_refused(repository: Path, tmp_path: Path) -> None:
    (repository / "photos.dvc").unlink()
    (repository / "photos.dvc").symlink_to("/etc/hostname")
    git("commit", "-qam", "Link", cwd=repository)
    data = DataRepository(str(repository), tmp_path / "home")
    with pytest.raises(UserError, match="symbolic link"):
        data.pointer(data.resolve("HEAD"), "photos")


def test_a_listing_that_leaves_the_folder_is_refused(repository: Path, tmp_path: Path) -> None:
    data = DataRepository(str(repository), tmp_path / "home")
    commit = data.resolve("HEAD")
    pointer = data.pointer(commit, "photos")
    assert pointer
    listing = repository / ".dvc" / "cache" / "files" / "md5" / pointer.md5[:2] / pointer.md5[2:]
    listing.chmod(0o644)
    listing.write_text('[{"md5": "aa", "relpath": "../../etc/passwd"}]')
    with pytest.raises(UserError, match="leaves the folder"):
        data.files(commit, "photos")


def test_what_is_no_repository_or_has_no_dvc_is_said_so(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a git repository"):
        DataRepository(str(photos), tmp_path / "home").refresh()
    with pytest.raises(UserError, match="nowhere"):
        DataRepository(str(tmp_path / "nowhere"), tmp_path / "home").refresh()
    git("init", "-q", tmp_path / "bare-git")
    git("commit", "-q", "--allow-empty", "-m", "Nothing", cwd=tmp_path / "bare-git")
    data = DataRepository(str(tmp_path / "bare-git"), tmp_path / "home")
    assert data.pointer(data.resolve("HEAD"), "photos") is None
    with pytest.raises(UserError, match="no DVC"), data.checkout(data.resolve("HEAD")):
        pass
