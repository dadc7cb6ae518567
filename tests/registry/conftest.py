"""A data repository with a few files in place of photos: the registry does not look inside."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from face_assets.registry.create import create_repository
from face_assets.registry.git import git

PEOPLE = ("Ann", "Bob", "Zoë Müller")


@pytest.fixture(autouse=True)
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Git knows who commits, whatever the machine says."""
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "Ann")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "ann@example.org")


def nothing(done: int, whole: int, what: str) -> None:
    """No progress to show."""


def make_photos(folder: Path) -> Path:
    for person in PEOPLE:
        (folder / person).mkdir(parents=True)
        for number in range(2):
            (folder / person / f"{number} a.jpg").write_bytes(os.urandom(2000))
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return make_photos(tmp_path / "photos")


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data repository made once, for the tests to copy."""
    folder = tmp_path_factory.mktemp("original")
    create_repository(folder / "data", make_photos(folder / "photos"), "train: {epochs: 1}\n", None, None, nothing)
    return folder / "data"


@pytest.fixture
def repository(original: Path, tmp_path: Path) -> Path:
    """A data repository of the test's own, with a DVC remote of its own."""
    for name in ("data", "data.dvc-remote"):
        shutil.copytree(original.with_name(name), tmp_path / name)
    config = tmp_path / "data" / ".dvc" / "config"
    config.write_text(config.read_text().replace(str(original.parent), str(tmp_path)))
    git("commit", "-q", "-a", "--amend", "--no-edit", cwd=tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], Path]:
    """Makes a new bundle of that content."""

    def make(content: bytes) -> Path:
        folder = tmp_path_factory.mktemp("bundle")
        (folder / "detector").mkdir()
        (folder / "embedder.bin").write_bytes(content * 1000)
        (folder / "detector" / "pnet.xml").write_text("<net/>")
        return folder

    return make
