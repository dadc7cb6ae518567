"""Photos that the registry does not look into, and bundles."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def photos(tmp_path: Path, make_photos: Callable[[Path], Path]) -> Path:
    return make_photos(tmp_path / "photos")
