"""Reading a data repository at a commit: whatever state the user's clone is in, and from the DVC remote alone."""

import fcntl
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from face_assets.core.errors import UserError
from face_assets.registry import data_repository
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


def test_a_dirty_working_tree_and_held_locks_are_neither_seen_nor_touched(repository: Path, tmp_path: Path) -> None:
    expected = content(repository / "photos")
    (repository / "params.yaml").write_text("not: [what was committed")
    (repository / ".git" / "index.lock").write_text("held")
    (repository / ".dvc" / "tmp").mkdir(exist_ok=True)
    shutil.rmtree(repository / "photos" / "Bob")
    shutil.rmtree(repository / ".dvc" / "cache")
    (repository / ".dvc" / "config").write_text("<<<<<<< ours")
    with open(repository / ".dvc" / "tmp" / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert read_all(str(repository), tmp_path / "home") == expected
    assert (repository / ".git" / "index.lock").read_text() == "held"
    data = DataRepository(str(repository), tmp_path / "home")
    assert data.read(head(repository), "params.yaml") == b"train: {epochs: 1}\n"


@pytest.mark.parametrize("kind", ["bare", "url", "shallow"])
def test_bytes_that_are_only_in_the_remote_are_fetched(repository: Path, tmp_path: Path, kind: str) -> None:
    source = tmp_path / "source"
    url = f"file://{repository}"
    git("clone", "-q", *{"bare": ["--bare"], "url": ["--bare"], "shallow": ["--depth", "1"]}[kind], url, source)
    shutil.rmtree(repository / ".dvc" / "cache")
    expected = content(repository / "photos")
    assert read_all(f"file://{source}" if kind == "url" else str(source), tmp_path / "home") == expected


def test_photos_missing_everywhere_are_counted_in_a_sentence(repository: Path, tmp_path: Path) -> None:
    data = DataRepository(str(repository), tmp_path / "home")
    files = data.files(data.resolve("HEAD"), "photos")
    for cache in (repository / ".dvc" / "cache", repository.with_name("data.dvc-remote")):
        (cache / "files" / "md5" / files[0].md5[:2] / files[0].md5[2:]).unlink()
    with pytest.raises(UserError, match=r"1 of 6 files of photos.dvc .* neither in a cache nor in the DVC remote"):
        data.locate(data.resolve("HEAD"), "photos", [file.md5 for file in files])
    shutil.rmtree(repository / ".dvc" / "cache")
    shutil.rmtree(repository.with_name("data.dvc-remote"))
    with pytest.raises(UserError, match=r"1 of 1 files of photos.dvc .* DVC's message: .+"):
        read_all(str(repository), tmp_path / "another-home")


def test_a_relative_remote_that_the_user_s_own_settings_choose_is_found(repository: Path, tmp_path: Path) -> None:
    config = repository / ".dvc" / "config"
    config.write_text(config.read_text().replace(str(repository.with_name("data.dvc-remote")), "../../data.dvc-remote"))
    config.write_text(config.read_text().replace("    remote = storage\n", ""))
    git("commit", "-qam", "Name the remote relatively, and no default", cwd=repository)
    (repository / ".dvc" / "config.local").write_text("[core]\n    remote = storage\n")
    shutil.rmtree(repository / ".dvc" / "cache")
    assert read_all(str(repository), tmp_path / "home") == content(repository / "photos")


def test_a_commit_that_no_branch_reaches_is_read(repository: Path, tmp_path: Path) -> None:
    git("commit", "-q", "--allow-empty", "-m", "Will be lost", cwd=repository)
    lost = head(repository)
    git("reset", "-q", "--hard", "HEAD~1", cwd=repository)
    data = DataRepository(str(repository), tmp_path / "home")
    data.refresh()
    assert data.resolve(lost) == lost
    assert (data.commit_info(lost).subject, data.commit_info(lost).branches) == ("Will be lost", ())
    for unknown in ("0" * 40, "nothing-of-that-name", "--all"):
        with pytest.raises(UserError, match=f"'{unknown}' names no commit"):
            data.resolve(unknown)


def test_a_commit_that_no_branch_of_a_shallow_clone_reaches_is_checked_out(repository: Path, tmp_path: Path) -> None:
    git("commit", "-q", "--allow-empty", "-m", "Second", cwd=repository)
    git("clone", "-q", "--depth", "1", f"file://{repository}", tmp_path / "shallow")
    git("commit", "-q", "--allow-empty", "-m", "Will be lost", cwd=tmp_path / "shallow")
    lost = head(tmp_path / "shallow")
    git("reset", "-q", "--hard", "HEAD~1", cwd=tmp_path / "shallow")
    data = DataRepository(str(tmp_path / "shallow"), tmp_path / "home")
    data.refresh()
    with data.checkout(data.resolve(lost)) as clone:
        assert head(clone) == lost


def test_a_bare_source_whose_head_names_no_branch_is_read(repository: Path, tmp_path: Path) -> None:
    git("init", "-q", "--bare", "-b", "never-pushed", tmp_path / "bare")
    git("push", "-q", tmp_path / "bare", "main", cwd=repository)
    data = DataRepository(str(tmp_path / "bare"), tmp_path / "home")
    data.refresh()
    assert data.resolve("main") == head(repository)


def test_what_a_killed_fetch_left_does_not_stop_the_next(repository: Path, tmp_path: Path) -> None:
    data = DataRepository(str(repository), tmp_path / "home")
    data.refresh()
    git("commit", "-q", "--allow-empty", "-m", "New", cwd=repository)
    for lock in ("packed-refs.lock", "HEAD.lock", "refs/heads/main.lock"):
        (data.mirror / lock).write_text("")
    data.refresh()
    assert data.resolve("main") == head(repository)


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
        ("outs: !!timestamp never\n", "not a pointer"),
        ("nothing: here\n", "not a pointer"),
        ("outs:\n- md5: //etc/hostname\n  hash: md5\n  path: photos\n", "no md5"),
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


@pytest.mark.parametrize(
    ("listing", "sentence"),
    [
        (json.dumps([{"md5": "a" * 32, "relpath": "../../etc/passwd"}]), "leaves the folder"),
        (json.dumps([{"md5": "a" * 32, "relpath": "/etc/passwd"}]), "leaves the folder"),
        (json.dumps([{"md5": "//etc/hostname", "relpath": "Ann/1.jpg"}]), "no md5"),
        ('[{"md5": "aa', "broken"),
    ],
)
def test_a_listing_that_leads_out_of_the_folder_or_the_cache_is_refused(
    repository: Path, tmp_path: Path, listing: str, sentence: str
) -> None:
    data = DataRepository(str(repository), tmp_path / "home")
    commit = data.resolve("HEAD")
    pointer = data.pointer(commit, "photos")
    assert pointer
    file = repository / ".dvc" / "cache" / "files" / "md5" / pointer.md5[:2] / pointer.md5[2:]
    file.chmod(0o644)
    file.write_text(listing)
    with pytest.raises(UserError, match=sentence):
        data.files(commit, "photos")


def test_a_file_named_as_git_ends_its_options_hides_nothing(repository: Path, tmp_path: Path) -> None:
    """Git then lists it beside the file that is asked for, and before it."""
    (repository / "--").write_text("small")
    (repository / "params.yaml").unlink()
    (repository / "params.yaml").symlink_to("/etc/hostname")
    git("add", "--", "--", cwd=repository)
    git("commit", "-qam", "Hide", cwd=repository)
    data = DataRepository(str(repository), tmp_path / "home")
    with pytest.raises(UserError, match="symbolic link"):
        data.read(data.resolve("HEAD"), "params.yaml")


def test_files_that_are_too_large_are_not_read(repository: Path, tmp_path: Path) -> None:
    (repository / "zeros").write_bytes(b"\0" * 3_000_000)
    (repository / "small").write_text("small")
    git("add", "zeros", "small", cwd=repository)
    git("commit", "-qm", "Add zeros", cwd=repository)
    data = DataRepository(str(repository), tmp_path / "home")
    commit = data.resolve("HEAD")
    with pytest.raises(UserError, match="has 3,000,000 bytes"):
        data.read(commit, "zeros", 1_000_000)
    names = [f"{commit}:{name}" for name in ("zeros", "small", "none", "photos", "small", "no such")]
    assert data.read_many(names, 1_000_000) == [None, b"small", None, None, b"small", None]
    assert data.read_many([], 1) == []


def test_a_tree_that_lists_billions_of_files_is_refused_in_a_sentence(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten times the same folder in a folder, nine times over: a few kilobytes to push."""
    monkeypatch.setattr(data_repository, "MEMORY_OF_AN_INDEX", 50_000_000)
    blob = git("hash-object", "-w", "--stdin", cwd=repository, content=b"x").decode().strip()
    kind = "100644 blob"
    for _ in range(9):
        blob = git("mktree", cwd=repository, content="".join(f"{kind} {blob}\t{name}\n" for name in "abcdefghij").encode()).decode().strip()
        kind = "040000 tree"
    before = git("ls-tree", "HEAD", cwd=repository)
    tree = git("mktree", cwd=repository, content=before + f"040000 tree {blob}\tbomb\n".encode()).decode().strip()
    git("update-ref", "HEAD", git("commit-tree", tree, "-p", "HEAD", "-m", "Bomb", cwd=repository).decode().strip(), cwd=repository)
    data = DataRepository(str(repository), tmp_path / "home")
    commit = data.resolve("HEAD")
    assert len(data.files(commit, "photos")) > 0
    with pytest.raises(UserError, match="git read-tree: fatal: Out of memory"), data.checkout(commit):
        pass
    with pytest.raises(UserError, match=r"gallery\.dvc is missing"):
        data.files(commit, "gallery")


def test_a_commit_cannot_make_us_write_outside_the_clone(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (repository / ".dvc" / "config.local").symlink_to(tmp_path / "precious")
    git("add", "-f", ".dvc/config.local", cwd=repository)
    git("commit", "-qm", "Link", cwd=repository)
    data = DataRepository(f"file://{repository}", tmp_path / "home")
    with data.checkout(data.resolve("HEAD")) as clone:
        assert str(data.cache) in (clone / ".dvc" / "config.local").read_text()
    assert (tmp_path / "precious").read_text() == "mine"


def test_what_a_killed_process_left_of_its_clone_is_removed_and_what_is_in_use_stays(repository: Path, tmp_path: Path) -> None:
    data = DataRepository(str(repository), tmp_path / "home")
    commit = data.resolve("HEAD")
    script = f"""
from pathlib import Path; import time
from face_assets.registry.data_repository import DataRepository
with DataRepository({str(repository)!r}, Path({str(data.home)!r})).checkout({commit!r}) as clone:
    print(clone, flush=True); time.sleep(60)
"""
    lost, alive = (subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(2))
    with lost, alive:
        folders = [Path(str(process.stdout and process.stdout.readline()).strip()).parent for process in (lost, alive)]
        lost.kill()
        lost.wait()
        assert all(folder.is_dir() for folder in folders)
        with data.checkout(commit) as clone:
            assert set(data.clones.iterdir()) == {folders[1], clone.parent}
        alive.kill()
    with data.checkout(commit) as clone:
        assert set(data.clones.iterdir()) == {clone.parent}
    assert not list(data.clones.iterdir())


def test_what_is_no_repository_or_has_no_dvc_is_said_so(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a git repository"):
        DataRepository(str(photos), tmp_path / "home").refresh()
    with pytest.raises(UserError, match="nowhere"):
        DataRepository(str(tmp_path / "nowhere"), tmp_path / "home").refresh()
    git("init", "-q", tmp_path / "bare-git")
    git("commit", "-q", "--allow-empty", "-m", "Nothing", cwd=tmp_path / "bare-git")
    data = DataRepository(str(tmp_path / "bare-git"), tmp_path / "home")
    assert data.pointer(data.resolve("HEAD"), "photos") is None
    with pytest.raises(UserError, match=r"photos\.dvc is missing"):
        data.files(data.resolve("HEAD"), "photos")
    with pytest.raises(UserError, match="no DVC"), data.checkout(data.resolve("HEAD")):
        pass
