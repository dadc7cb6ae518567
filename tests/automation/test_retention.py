"""Retention: unused files are removed and come back on demand; files of production, in use, or without another copy stay."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from face_assets.automation.retention import DAY, Pruned, prune
from face_assets.cli.retention_report import prune_home, pruning_text
from face_assets.core.errors import UserError
from face_assets.core.files import file_lock, free_lock, lock_path, write_json
from face_assets.core.settings import remember
from face_assets.dataset.repository_creation import create_repository
from face_assets.dataset.steps import version_dataset
from face_assets.demo.synthetic import write_people
from face_assets.detection.detectors import crop_store
from face_assets.detection.steps import align_dataset, read_faces
from face_assets.orchestration.artifact_io import ArtifactIOManager
from face_assets.registry.git import git
from face_assets.registry.releases import Digests, Release
from face_assets.registry.workspace import Workspace
from face_assets.serving.model_repository import ModelVersion
from face_assets.storage.artifacts import Artifact
from face_assets.storage.content_store import ContentStore, Entry


def age(root: Path, days: float) -> None:
    """As if all below `root` had last been touched so much earlier."""
    for path in [root, *root.rglob("*")]:
        if path.exists():
            found = path.stat()
            os.utime(path, (found.st_atime, found.st_mtime - days * DAY))


def on_disk(root: Path) -> int:
    """Bytes of the files below `root`, those with several names once, without the mirror and the event log, which each look changes."""
    files = [path for path in root.rglob("*") if path.is_file() and not {"mirrors", "dagster"} & set(path.parts)]
    found = {stat.st_ino: stat.st_blocks * 512 for stat in (path.lstat() for path in files)}
    return sum(found.values())


def kinds(done: Pruned) -> dict[str, int]:
    return {kind: [candidate.kind for candidate in done.removed].count(kind) for kind in {candidate.kind for candidate in done.removed}}


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
        write_json(home.artifact_references / "face_embedder" / f"{commit}.json", made.to_json(home.root))
        return made

    def release(self, content: bytes, stage: bool = False) -> Release:
        releases = self.workspace.releases
        commit = releases.repository.resolve("HEAD")
        bundle = self.bundle(content)
        made = releases.register(bundle, commit, content.decode(), Digests(content.decode(), "", ""), {"auc": 0.9}, {})
        shutil.rmtree(bundle)  # whose files are links of the cache's
        releases.bundle(made)
        if stage:
            self.workspace.stages.assign(made.version, "a test")
        return made

    def repository_head(self) -> str:
        return self.workspace.releases.repository.resolve("HEAD")

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
    for folder in (left, checkpoint):
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(b"0" * 10_000)
    age(home, 31)
    machine.artifact("used")
    ContentStore(home / "crops" / "detector.sqlite").put([Entry("a", {}, b"0")])
    before = on_disk(home)
    with free_lock(lock_path(home / "artifacts" / "face_embedder" / "in-use")):
        planned = prune(machine.workspace, 30, dry_run=True)
        assert on_disk(home) == before
        done = prune(machine.workspace, 30)
    assert kinds(done) == {"artifacts": 1, "stores of features": 1, "leftovers": 1, "checkpoints": 1}
    assert len(planned.removed) == len(done.removed) + 1  # what is in use is only seen when it is to go
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


def test_with_no_days_all_goes_that_is_not_needed_and_the_dry_run_says_what_stays_and_why(machine: Machine, home: Path) -> None:
    old, former, present = machine.release(b"a"), machine.release(b"b", stage=True), machine.release(b"c", stage=True)
    machine.artifact("needed", machine.repository_head())
    machine.artifact("of just now", "1" * 40)
    before = on_disk(home)
    planned, said = prune_home(0, dry_run=True), []
    assert on_disk(home) == before
    done = prune_home(0, dry_run=False, log=said.append)
    assert said == [pruning_text(planned)]
    assert planned["removed"] == done["removed"] == {"artifacts": 1, "releases": 1}
    assert planned["freed_bytes"] == done["freed_bytes"] == before - on_disk(home) > 500_000
    assert done["kept"]["needed"]["kinds"] == {"artifacts": 1, "releases": 2}
    assert "Kept, needed by production" in said[0]
    folders = {machine.workspace.releases.folder(one): one.version for one in (old, former, present)}
    assert {version for folder, version in folders.items() if folder.is_dir()} == {former.version, present.version}
    assert prune_home(0, dry_run=False, log=said.append)["removed"] == {} and len(said) == 1
    assert machine.workspace.releases.bundle(old).is_dir()


def test_a_home_where_nothing_runs_keeps_what_it_has(machine: Machine, home: Path) -> None:
    machine.artifact("one")
    machine.release(b"a")
    ContentStore(home / "crops" / "detector.sqlite")
    age(home, 400)
    assert prune(machine.workspace, 30).removed == []


def test_clocks_that_stood_ahead_remove_nothing(machine: Machine, home: Path) -> None:
    machine.artifact("one")
    machine.artifact("ahead")
    age(lock_path(home / "artifacts" / "face_embedder" / "ahead"), -400)
    assert prune(machine.workspace, 30).removed == []


def test_a_release_out_of_use_goes_but_for_what_another_shares_and_comes_back(machine: Machine, home: Path) -> None:
    old, former, present = machine.release(b"a"), machine.release(b"b", stage=True), machine.release(b"c", stage=True)
    machine.workspace.stages.assign(present.version, "It stays", again=True)  # as for a commit that makes the same release
    content = {path.name: path.read_bytes() for path in machine.workspace.releases.bundle(old).rglob("*") if path.is_file()}
    age(home, 31)
    machine.artifact("of today")
    before = on_disk(home)
    done = prune(machine.workspace, 30)
    assert kinds(done) == {"releases": 1}
    assert before - on_disk(home) == done.freed > 0
    repository = machine.workspace.repository
    assert repository.cached_files(old.commit, "release") == []
    for release in (former, present):
        pointer = repository.pointer(release.commit, "release")
        assert pointer and repository.is_cached(pointer.md5)  # with the file that all three share
        assert machine.workspace.releases.folder(release).is_dir()
    again = machine.workspace.releases.bundle(old)
    assert {path.name: path.read_bytes() for path in again.rglob("*") if path.is_file()} == content


def test_a_release_that_the_remote_lacks_a_file_of_or_does_not_tell_stays(machine: Machine, home: Path, repository: Path) -> None:
    old = machine.release(b"a")
    machine.release(b"b", stage=True)
    age(home, 31)
    machine.artifact("of today")
    remote = repository.with_name("data.dvc-remote")
    shutil.move(remote, remote.with_name("away"))
    remote.write_text("no folder")
    done = prune(machine.workspace, 30)
    assert done.removed == []
    assert "v1.0.0 stay" in done.notes[0]
    remote.unlink()
    shutil.move(remote.with_name("away"), remote)
    (md5,) = [file.md5 for file in machine.workspace.repository.files(old.commit, "release") if file.path == "embedder.bin"]
    lost = remote / "files" / "md5" / md5[:2] / md5[2:]
    lost.rename(remote / "lost")
    done = prune(machine.workspace, 30)
    assert (done.removed, done.notes) == ([], ["v1.0.0 is not in the DVC remote: it stays."])
    (remote / "lost").rename(lost)
    with file_lock(machine.workspace.releases.fetching, shared=True):
        assert "in use" in prune(machine.workspace, 30).notes[0]
    assert kinds(prune(machine.workspace, 30)) == {"releases": 1}


def test_what_can_be_loaded_here_and_a_cache_that_is_the_users_stay(machine: Machine, home: Path, repository: Path) -> None:
    loadable, other = machine.release(b"a"), machine.release(b"b")
    machine.release(b"c", stage=True)
    age(home, 31)
    machine.artifact("of today")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("face_assets.automation.retention.versions", lambda root: [ModelVersion(1, "v1.0.0", loadable.commit, "")])
        done = prune(machine.workspace, 30)
    assert [candidate.paths[0].name for candidate in done.removed] == [other.commit]
    (repository / ".dvc" / "config.local").write_text(f"[cache]\n    dir = {home / 'dvc-cache'}\n")
    before = on_disk(home / "dvc-cache")
    assert kinds(prune(machine.workspace, 30)) == {"releases": 1}
    assert not machine.workspace.releases.folder(loadable).exists()
    assert on_disk(home / "dvc-cache") == before


def test_what_a_run_reads_by_its_handle_counts_as_used_whatever_the_home_was_called(machine: Machine, home: Path) -> None:
    head = machine.commit()
    machine.artifact("production", head)
    machine.artifact("read", "1" * 40)
    machine.artifact("old", "2" * 40)
    age(home, 31)
    elsewhere = home.with_name("elsewhere")
    home.rename(elsewhere)
    home.symlink_to(elsewhere)
    for file in (home / "handles" / "face_embedder").iterdir():
        file.write_text(file.read_text().replace(str(home), str(elsewhere)))
    machine.artifact("of today", "3" * 40)
    ArtifactIOManager().load_input(dg.build_input_context(asset_key=dg.AssetKey("face_embedder"), partition_key="1" * 40))
    done = prune(machine.workspace, 30)
    assert [candidate.paths[0].name for candidate in done.removed] == ["old"]


def test_one_that_cannot_go_is_told_and_the_others_go(machine: Machine, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.artifact("foreign")
    machine.artifact("old")
    age(home, 31)
    machine.artifact("of today")
    rename = os.rename

    def refuse(source: Path, target: Path) -> None:
        if Path(source).name == "foreign":
            raise PermissionError(errno.EACCES, "Permission denied", str(source))
        rename(source, target)

    monkeypatch.setattr(os, "rename", refuse)
    done = prune(machine.workspace, 30)
    assert [candidate.paths[0].name for candidate in done.removed] == ["old"]
    assert "foreign cannot be removed: Permission denied." in done.notes[0]


def test_without_a_repository_nothing_goes_that_one_may_need(machine: Machine, home: Path) -> None:
    (home / "settings.json").unlink()
    with pytest.raises(UserError, match="FACE_ASSETS_REPO"):
        prune(Workspace.load(), 30)


@pytest.mark.slow
def test_crops_stay_with_the_list_of_them_and_come_back_where_somebody_removed_them(tmp_path: Path, home: Path) -> None:
    write_people(tmp_path / "photos", 2, 2)
    create_repository(tmp_path / "data", tmp_path / "photos", "detector: {image_size: 80, margin: 16, align: upright}\n", None, None)
    remember(repo=str(tmp_path / "data"))
    workspace = Workspace.load()
    commit = workspace.repository.resolve("HEAD")

    def align() -> Artifact:
        return align_dataset(workspace, commit, version_dataset(workspace, commit, print), print)

    store = crop_store(workspace, workspace.params(commit).detector)
    made = align()
    write_json(home / "handles" / "aligned_faces" / f"{commit}.json", made.to_json(home))
    md5s = [face.md5 for face in read_faces(made)]
    age(home, 31)
    ContentStore(home / "crops" / "of today.sqlite")
    assert kinds(prune(workspace, 30)) == {"artifacts": 1, "stores of inspections": 1}
    assert store.missing(md5s) == []
    store.path.unlink()
    ContentStore(store.path)
    assert align().reused
    assert store.missing(md5s) == []


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
    assert [candidate.paths[0].name for candidate in done.removed] == ["old"]
    assert "the last look" in done.notes[0]
