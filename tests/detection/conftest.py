"""The detector's networks, exported once."""

from pathlib import Path

import pytest

from face_assets.detection.facenet_pytorch import export_detector


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("networks")
    export_detector(folder)
    return folder
