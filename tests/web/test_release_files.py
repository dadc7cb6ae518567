"""The facts of a release, by its newest version in the model repository."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from face_assets.core.files import write_json
from face_assets.gallery.enrolment import templates_of, write_gallery
from face_assets.serving.model_repository import RECOGNIZER, VERSIONS, ModelVersion
from face_assets.web.problems import WebError
from face_assets.web.release_files import ReleaseFolders


def deployed(models: Path, *thresholds: float) -> None:
    """Versions 1, 2, ... of one release, each with a threshold of its own."""
    for number, threshold in enumerate(thresholds, start=1):
        folder = models / RECOGNIZER / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "recognizer.json", {"identification_threshold": threshold, "verification_threshold": threshold})
        write_gallery(templates_of(np.eye(1, 4, dtype=np.float32), ["anna"]), folder)
    write_json(models / VERSIONS, [asdict(ModelVersion(number, "v1.0.0", "0" * 40, "")) for number in range(1, len(thresholds) + 1)])


def test_a_release_that_is_deployed_anew_is_read_anew(tmp_path: Path) -> None:
    folders = ReleaseFolders(tmp_path)
    with pytest.raises(WebError, match="not on this machine"):
        folders.read("v1.0.0")
    deployed(tmp_path, 0.4)
    assert folders.read("v1.0.0").identification_threshold == 0.4
    assert folders.read("v1.0.0") is folders.read("v1.0.0")
    deployed(tmp_path, 0.4, 0.5)
    assert folders.read("v1.0.0").identification_threshold == 0.5
