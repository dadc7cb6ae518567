"""What no run has used for long goes, and comes back when it is wanted; what production needs, is in use, or is the only copy stays."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from face_assets.artifacts import Artifact
from face_assets.content_store import ContentStore, Entry
from face_assets.files import free_lock, lock_beside, write_json
from face_assets.pipeline.pruning import DAY, Pruned, prune
from face_assets.pipeline.workspace import Workspace
from face_assets.registry.git import git
from face_assets.registry.release import Digests, Release
from face_assets.settings import remember


def age(root: Path, days: float) -> None:
    """As if all below `root` had last been touched so much earlier."""
    for path in [root, *root.rglob("*")]:
        if path.exists():
            found = path.stat()
            os.utime(path, (found.st_atime, found.st_mtime - days * DAY))


def on_disk(root: Path) -> int:
    """Bytes of the files below `root`, those with several names once, without the mirror, which each look changes."""
    files = [path for path in root.rglob("*") if path.is_file() and "mirrors" not in path.parts]
    found = {stat.st_ino: stat.st_blocks * 512 for stat in (path.lstat() for path in files)}
    return sum(found.values())


def kinds(done: Pruned) -> dict[str, int]:
    return {kind: [piece.kind for piece in done.pieces].count(kind) for kind in {piece.kind for piece in done.pieces}}


class Machine:
    """A home that follows a data repository, and what runs leave in it, without running them."""

    def __init__(self, repository: Path, bundle: Callable[[bytes], Path]):
        self.repository, self.bundle = repository, bundle
        remember(repo=str(repository))
        self.workspace.repository.refresh()

    @property
    def workspace(self) -> Workspace:
        return Workspace.load()

    def artifact(self, fingerprint: str, commit: str = "0" * 40) -> Artifact:
        """Made, or used once more, by a run of the commit."""

        def fill(folder: Path) -> dict[str, int]:
            (folder / "large").write_bytes(os.urandom(500_000))
            return {}

        home = self.workspace.home
        made = home.artifacts.make("face_embedder", fingerprint, fill)
        write_json(home.handles / "face_embedder" / f"{commit}.json", made.to_json())
        return made

    def release(self, content: bytes, stage: bool = False) -> Release:
        releases = self.workspace.releases
        commit = releases.repository.resolve("HEAD")
        made = releases.register(self.bundle(content), commit, content.decode(), Digests(content.decode(), "", ""), {"auc": 0.9}, {})
        releases.bundle(made)
        if stage:
            self.workspace.stages.assign(made.version, "a test")
        return made

    def commit(self) -> str:
        git("commit", "-q", "--allow-empty", "-m", "Another", cwd=self.repository)
        return git("rev-parse", "HEAD", cwd=self.repository).decode().strip()


@pytest.fixture
def machine(repository: Path, home: Path, bundle: Callable[[bytes], Path]) -> Machine:
    return Machine(repository, bundle)


def test_what_was_long_unused_goes_and_what_production_and_its_branches_name_stays(machine: Machine, home: Path) -> None:
    head = machine.commit()
    for name, commit in (("production", head), ("old", "1" * 40), ("used", "2" * 40), ("in-use", "3" * 40)):
        machine.artifact(name, commit)
    store = ContentStore(home / "features" / "detector" / "trunk.sqlite")
    store.put([Entry("a", {}, b"0" * 100_000)])
    (home / "features" / "detector" / "trunk").mkdir()
    (home / "features" / "detector" / "trunk" / "network.bin").write_bytes(b"0" * 100_000)
    left, checkpoint = home / "artifacts" / "face_embedder" / ".partial-killed-abc", home / "training" / "killed"
    lock_beside(left.with_name("killed")).touch()
    for folder in (left, checkpoint):
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(b"0" * 10_000)
    age(home, 31)
    machine.artifact("used")
    ContentStore(home / "crops" / "detector.sqlite").put([Entry("a", {}, b"0")])
    before = on_disk(home)
    with free_lock(lock_beside(home / "artifacts" / "face_embedder" / "in-use")):
        told = prune(machine.workspace, 30, dry_run=True)
        assert on_disk(home) == before
        done = prune(machine.workspace, 30)
    assert kinds(done) == {"artifacts": 1, "stores of features": 1, "leftovers": 1, "checkpoints": 1}
    assert len(told.pieces) == len(done.pieces) + 1  # what is in use is only seen when it is to go
    assert before - on_disk(home) == done.freed > 700_000
    assert {folder.name for folder in (home / "artifacts" / "face_embedder").iterdir() if folder.is_dir()} == {
        "production",
        "used",
        "in-use",
    }
    assert not left.exists() and not checkpoint.exists()
    assert [path.name for path in (home / "features" / "detector").iterdir()] == [".trunk.sqlite.lock"]
    assert machine.artifact("old").reused is False
    store = ContentStore(home / "features" / "detector" / "trunk.sqlite")
    assert store.missing(["a"]) == ["a"]


def test_a_home_where_nothing_runs_keeps_what_it_has(machine: Machine, home: Path) -> None:
    machine.artifact("one")
    machine.release(b"a")
    ContentStore(home / "crops" / "detector.sqlite")
    age(home, 400)
    assert prune(machine.workspace, 30).pieces == []


def test_clocks_that_stood_ahead_remove_nothing(machine: Machine, home: Path) -> None:
    machine.artifact("one")
    machine.artifact("ahead")
    age(lock_beside(home / "artifacts" / "face_embedder" / "ahead"), -400)
    assert prune(machine.workspace, 30).pieces == []


def test_a_release_out_of_use_leaves_the_cache_but_for_what_another_shares_and_comes_back(machine: Machine, home: Path) -> None:
    old, former, present = machine.release(b"a"), machine.release(b"b", stage=True), machine.release(b"c", stage=True)
    photos = machine.workspace.repository.files(old.trained_commit, "photos")
    machine.workspace.repository.locate(old.trained_commit, "photos", [photo.md5 for photo in photos])
    content = {path.name: path.read_bytes() for path in machine.workspace.releases.bundle(old).rglob("*") if path.is_file()}
    age(home, 31)
    machine.artifact("of today")
    before = on_disk(home)
    done = prune(machine.workspace, 30)
    assert kinds(done) == {"fetched releases": 1, "releases in the DVC cache": 1}
    assert before - on_disk(home) == done.freed > 0
    repository = machine.workspace.repository
    assert repository.held(old.commit, "release") == []
    for release in (former, present):
        assert repository.is_cached(repository.pointer(release.commit, "release").md5)  # with the file that all three share
    again = machine.workspace.releases.bundle(old)
    assert {path.name: path.read_bytes() for path in again.rglob("*") if path.is_file()} == content


def test_a_release_that_the_remote_has_not_or_does_not_tell_stays(machine: Machine, home: Path, repository: Path) -> None:
    old = machine.release(b"a")
    machine.release(b"b", stage=True)
    age(home, 31)
    machine.artifact("of today")
    remote = repository.with_name("data.dvc-remote")
    shutil.move(remote, remote.with_name("away"))
    remote.write_text("no folder")
    done = prune(machine.workspace, 30)
    assert kinds(done) == {"fetched releases": 1}
    assert old.version in done.notes[0]
    remote.unlink()
    remote.mkdir()
    done = prune(machine.workspace, 30)
    assert (done.pieces, done.notes) == ([], ["v1.0.0 is not in the DVC remote: its files stay in the cache."])
    assert machine.workspace.releases.bundle(old).is_dir()


def test_production_is_known_from_the_last_look_where_the_repository_is_away(machine: Machine, home: Path, repository: Path) -> None:
    machine.artifact("production", machine.commit())
    machine.artifact("old")
    machine.workspace.repository.refresh()
    age(home, 31)
    machine.artifact("of today", "4" * 40)
    workspace = machine.workspace
    assert workspace.repository.local == repository
    repository.rename(repository.with_name("away"))
    done = prune(workspace, 30)
    assert [piece.paths[0].name for piece in done.pieces] == ["old"]
    assert "the last look" in done.notes[0]
