"""A data repository with a few files in place of photos: the registry does not look inside."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from face_assets.registry.create import create_repository

PEOPLE = ("Ann", "Bob", "Zoë Müller")


@pytest.fixture(autouse=True)
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Git knows who commits, whatever the machine says."""
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "Ann")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "ann@example.org")


def nothing(done: int, whole: int, what: str) -> None:
    """No progress to show."""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for person in PEOPLE:
        (tmp_path / "photos" / person).mkdir(parents=True)
        for number in range(2):
            (tmp_path / "photos" / person / f"{number} a.jpg").write_bytes(os.urandom(2000))
    return tmp_path / "photos"


@pytest.fixture
def repository(tmp_path: Path, photos: Path) -> Path:
    create_repository(tmp_path / "data", photos, "train: {epochs: 1}\n", None, None, nothing)
    return tmp_path / "data"


@pytest.fixture
def bundle(tmp_path: Path) -> Callable[[bytes], Path]:
    """Makes a bundle of that content."""

    def make(content: bytes) -> Path:
        folder = tmp_path / f"bundle-{content.hex()}"
        (folder / "detector").mkdir(parents=True, exist_ok=True)
        (folder / "embedder.bin").write_bytes(content * 1000)
        (folder / "detector" / "pnet.xml").write_text("<net/>")
        return folder

    return make
