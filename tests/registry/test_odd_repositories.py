"""Repositories and settings of git as people have them: read all the same, or refused by a sentence that names the cure."""

from collections.abc import Callable
from pathlib import Path

import pytest

from face_assets.core.errors import UserError
from face_assets.dataset.repository_creation import create_repository
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.git import git
from face_assets.registry.releases import Digests, Releases
from face_assets.registry.stages import Stages


def opened(repository: Path, home: Path) -> tuple[DataRepository, str]:
    """The repository as the platform reads it, and its HEAD."""
    data = DataRepository(str(repository), home)
    data.refresh()
    return data, data.resolve("HEAD")


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a user whose git runs a program at every occasion; each leaves its name in `ran`, and fails."""
    user = tmp_path / "user"
    (user / "template" / "hooks").mkdir(parents=True)
    (user / "ran").mkdir()
    hooks = ("post-checkout", "pre-commit", "commit-msg", "prepare-commit-msg", "post-index-change", "reference-transaction", "pre-push")
    for path in (user / "program", *(user / "template" / "hooks" / name for name in hooks)):
        path.write_text(f'#!/bin/sh\ntouch {user}/ran/$(basename "$0")\nexit 1\n')
        path.chmod(0o755)
    (user / "attributes").write_text("* filter=any\n")
    (user / ".gitconfig").write_text(
        f"""[init]\n templateDir = {user}/template\n[core]\n attributesFile = {user}/attributes\n fsmonitor = {user}/program\n"""
        f"""[filter "any"]\n smudge = {user}/program\n clean = {user}/program\n process = {user}/program\n required = true\n"""
        f"""[filter "lfs"]\n smudge = {user}/program\n clean = {user}/program\n required = true\n"""
    )
    monkeypatch.setenv("HOME", str(user))
    return user


def test_filters_hooks_and_templates_run_in_no_repository_of_ours(
    repository: Path, user: Path, tmp_path: Path, bundle: Callable[[bytes], Path]
) -> None:
    as_it_was = {"HOME": str(tmp_path)}
    (repository / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n*.json filter=lfs\n*.dvc text eol=crlf\n")
    (repository / "embedder.bin").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    git("add", ".gitattributes", "embedder.bin", cwd=repository, env=as_it_was)
    git("commit", "-q", "-m", "Keep a file by Git LFS", cwd=repository, env=as_it_was)
    data, commit = opened(repository, tmp_path / "home")
    releases = Releases(data)
    release = releases.register(bundle(b"a"), commit, "inputs", Digests("s", "g", "p"), {"auc": 0.9}, {})
    assert Stages(releases).assign(release.version, "tried")
    assert (releases.bundle(release) / "embedder.bin").read_bytes() == b"a" * 1000
    assert git("diff", "--name-only", commit, release.commit, cwd=data.mirror).decode().split() == [
        *("dvc.yaml", "metrics.json", "release.dvc", "release.json"),
    ]
    with pytest.raises(UserError, match=r"embedder\.bin at commit .* is kept by Git LFS"):
        data.read(commit, "embedder.bin")
    assert not list((user / "ran").iterdir())


def test_sha256_chosen_by_gits_settings_ruins_nothing_for_ever(
    repository: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ruined = DataRepository(str(repository), tmp_path / "home")
    git("init", "-q", "--bare", "--object-format=sha256", ruined.mirror)
    monkeypatch.setenv("GIT_DEFAULT_HASH", "sha256")
    data, commit = opened(repository, tmp_path / "home")
    with data.checkout(commit) as clone:
        assert git("rev-parse", "HEAD", cwd=clone).decode().strip() == commit
    assert len(create_repository(tmp_path / "new", photos, "", None, None)) == len(commit)


def test_a_repository_of_sha256_is_named_at_once(tmp_path: Path) -> None:
    git("init", "-q", "--object-format=sha256", tmp_path / "sha256")
    git("commit", "-q", "--allow-empty", "-m", "First", cwd=tmp_path / "sha256")
    data = DataRepository(str(tmp_path / "sha256"), tmp_path / "home")
    for read in (data.refresh, data.heads):
        with pytest.raises(UserError, match="names its objects by SHA-256, which DVC and GTO do not read"):
            read()


def test_a_repository_of_another_user_is_refused_with_gits_reason_and_cure(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own, for its tests
    data = DataRepository(str(repository), tmp_path / "home")
    for read in (data.refresh, data.heads):
        with pytest.raises(UserError, match=r"dubious ownership .* another user\. .*`git config --global --add safe\.directory .*data"):
            read()
