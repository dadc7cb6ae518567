"""Fixtures of the web service's tests."""

from pathlib import Path

import pytest

from face_assets.registry.git import git


@pytest.fixture
def bare(repository: Path, tmp_path: Path) -> Path:
    """The data repository as a server has it."""
    git("clone", "-q", "--bare", repository, tmp_path / "bare.git")
    return tmp_path / "bare.git"
