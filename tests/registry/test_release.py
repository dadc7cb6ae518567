"""Releases and stages: git tags on commits that they alone reach, once for the same inputs, whole or not at all."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from face_assets.errors import UserError
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.git import git
from face_assets.registry.release import Digests, Release, Releases, next_version
from face_assets.registry.stage import Stages

FIRST = Digests("space", "gallery", "packaging")


def open_releases(repository: Path, home: Path) -> Releases:
    data = DataRepository(str(repository), home)
    data.refresh()
    return Releases(data)


def register(repository: Path, home: Path, bundle: Path, inputs: str, digests: Digests = FIRST) -> Release:
    releases = open_releases(repository, home)
    commit = releases.repository.resolve("HEAD")
    return releases.register(bundle, commit, inputs, digests, {"auc": 0.9}, {})


def test_a_release_is_reachable_by_its_tag_alone_and_moves_nothing(
    repository: Path, tmp_path: Path, bundle: Callable[[bytes], Path]
) -> None:
    before = git("for-each-ref", "refs/heads", cwd=repository), git("status", "--porcelain", cwd=repository)
    release = register(repository, tmp_path / "home", bundle(b"a"), "inputs")
    assert git("log", "-1", "--format=%P", release.tag, cwd=repository).decode().strip() == release.trained_commit
    assert not git("branch", "--contains", release.tag, cwd=repository)
    assert before == (git("for-each-ref", "refs/heads", cwd=repository), git("status", "--porcelain", cwd=repository))


def test_the_same_inputs_give_the_same_release(repository: Path, tmp_path: Path, bundle: Callable[[bytes], Path]) -> None:
    first = register(repository, tmp_path / "home", bundle(b"a"), "inputs")
    assert register(repository, tmp_path / "another-home", bundle(b"b"), "inputs") == first
    assert git("tag", cwd=repository).decode().split() == ["face-recognizer@v1.0.0"]


@pytest.mark.parametrize(
    ("digests", "version"),
    [
        (Digests("other", "gallery", "packaging"), "v2.0.0"),
        (Digests("space", "other", "packaging"), "v1.1.0"),
        (Digests("space", "gallery", "other"), "v1.0.1"),
    ],
)
def test_the_version_says_what_changed(digests: Digests, version: str) -> None:
    assert next_version(digests, Release("v1.0.0", "c", "p", "i", FIRST, {})) == version


def test_a_bundle_comes_back_from_the_remote_alone(repository: Path, tmp_path: Path, bundle: Callable[[bytes], Path]) -> None:
    release = register(repository, tmp_path / "home", bundle(b"a"), "inputs")
    shutil.rmtree(tmp_path / "home")
    folder = open_releases(repository, tmp_path / "fresh").bundle(release)
    assert (folder / "embedder.bin").read_bytes() == b"a" * 1000
    assert (folder / "detector" / "pnet.xml").is_file()


def test_dvc_compares_two_releases_in_a_users_clone(repository: Path, tmp_path: Path, bundle: Callable[[bytes], Path]) -> None:
    register(repository, tmp_path / "home", bundle(b"a"), "one")
    register(repository, tmp_path / "home", bundle(b"b"), "two", Digests("other", "x", "y"))
    git("clone", "-q", repository, tmp_path / "clone")
    compared = subprocess.run(
        [sys.executable, "-m", "dvc", "metrics", "diff", "--all", "face-recognizer@v1.0.0", "face-recognizer@v2.0.0"],
        cwd=tmp_path / "clone", capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "auc" in compared.stdout


def _register(repository: Path, home: Path, bundle: Path, inputs: str) -> None:
    register(repository, home, bundle, inputs, Digests(inputs, "", ""))


def test_two_machines_registering_at_once_get_two_versions(repository: Path, tmp_path: Path, bundle: Callable[[bytes], Path]) -> None:
    context = multiprocessing.get_context("spawn")
    both = [
        context.Process(target=_register, args=(repository, tmp_path / f"home-{name}", bundle(name.encode()), name))
        for name in ("one", "two")
    ]
    for process in both:
        process.start()
    for process in both:
        process.join()
        assert process.exitcode == 0
    assert [release.version for release in open_releases(repository, tmp_path / "home").all()] == ["v1.0.0", "v2.0.0"]


@pytest.mark.parametrize("seconds", [0.6, 1.2])
def test_a_kill_while_registering_leaves_nothing_half(
    repository: Path, tmp_path: Path, bundle: Callable[[bytes], Path], seconds: float
) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_register, args=(repository, tmp_path / "home", bundle(b"a"), "inputs"))
    process.start()
    time.sleep(seconds)
    assert process.pid
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    register(repository, tmp_path / "home", bundle(b"a"), "inputs", Digests("inputs", "", ""))
    assert git("tag", cwd=repository).decode().split() == ["face-recognizer@v1.0.0"]


def test_a_source_that_cannot_be_written_is_said_so(repository: Path, tmp_path: Path, bundle: Callable[[bytes], Path]) -> None:
    hook = repository / ".git" / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(UserError):
        register(repository, tmp_path / "home", bundle(b"a"), "inputs")
    assert not git("tag", cwd=repository)


def test_stages_follow_the_tags_whoever_sets_them(repository: Path, tmp_path: Path, bundle: Callable[[bytes], Path]) -> None:
    register(repository, tmp_path / "home", bundle(b"a"), "one")
    register(repository, tmp_path / "home", bundle(b"b"), "two", Digests("space", "other", "packaging"))
    stages = Stages(open_releases(repository, tmp_path / "home"))
    assert stages.production() is None
    first = stages.assign("v1.0.0", "first")
    assert first and first.tag == "face-recognizer#production#1"
    assert stages.assign("v1.0.0", "again") is None

    git("clone", "-q", repository, tmp_path / "colleague")
    gto = [str(Path(sys.executable).with_name("gto")), "assign", "face-recognizer", "--version", "v1.1.0", "--stage", "production"]
    subprocess.run(gto, cwd=tmp_path / "colleague", check=True, capture_output=True)
    git("push", "-q", "--tags", cwd=tmp_path / "colleague")
    stages.repository.refresh()
    now = stages.production()
    assert now and (now.release.version, now.author) == ("v1.1.0", "Ann")

    back = stages.assign("v1.0.0", "rolled back", "Bob")
    assert back and (back.release.version, back.author, back.message) == ("v1.0.0", "Bob", "rolled back")
    assert [one.release.version for one in stages.history()] == ["v1.0.0", "v1.1.0", "v1.0.0"]
    stages.unassign(back, "nothing is good")
    assert stages.production() is None
    with pytest.raises(UserError, match="v9"):
        stages.assign("v9.0.0", "no such release")
