"""The name of a data set: that of its manifest, so that what was made of it stays in use until its people or splits change."""

from pathlib import Path

import pytest
from PIL import Image

from face_assets.core.fingerprint import fingerprint
from face_assets.core.settings import remember
from face_assets.core.step_versions import step_version
from face_assets.dataset.manifest import Manifest
from face_assets.dataset.repository_creation import create_repository
from face_assets.dataset.steps import version_dataset
from face_assets.registry.git import git
from face_assets.registry.workspace import Workspace
from face_assets.storage.artifacts import Artifact

PEOPLE, PHOTOS = 12, 2
PARAMS = "split: {{test: 0.5, min_test_people: 2}}\ntrain: {{min_people: {least}, epochs: {epochs}}}\n"


@pytest.fixture
def data(tmp_path: Path, home: Path) -> Path:
    """A data repository whose people suffice for a training."""
    for number in range(PEOPLE * PHOTOS):
        folder = tmp_path / "photos" / f"person {number // PHOTOS}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (10 * number, 0, 0)).save(folder / f"{number}.png")
    create_repository(tmp_path / "data", tmp_path / "photos", PARAMS.format(least=2, epochs=1), None, None)
    remember(repo=str(tmp_path / "data"))
    return tmp_path / "data"


def made(data: Path, least: int = 2, epochs: int = 1) -> Artifact:
    """The data set of a commit with these parameters."""
    (data / "params.yaml").write_text(PARAMS.format(least=least, epochs=epochs), encoding="utf-8")
    git("commit", "-q", "--allow-empty", "-am", "Change parameters", cwd=data)
    workspace = Workspace.load()
    workspace.repository.refresh()
    return version_dataset(workspace, workspace.repository.resolve("HEAD"), lambda line: None)


def splits(artifact: Artifact) -> set[str]:
    return {photo.split for photo in Manifest.read(artifact.directory / "manifest.csv").photos}


def test_what_decides_whether_to_train_renames_a_data_set_only_where_it_changes_the_splits(data: Path) -> None:
    trained = made(data)
    assert trained.summary["training"]["trains"] and len(splits(trained)) > 1
    workspace = Workspace.load()
    head = workspace.repository.resolve("HEAD")
    params, pointer = workspace.params(head), workspace.repository.pointer(head, "photos")
    assert pointer is not None
    named_before = fingerprint(pointer.md5, params.split.fingerprint(), params.photos.fingerprint(), step_version("dataset_version"))
    assert trained.fingerprint == named_before, "an upgrade keeps what was made of the data set"
    assert made(data, least=3, epochs=9).fingerprint == trained.fingerprint

    few, off = made(data, least=1000), made(data, epochs=0)
    assert splits(few) == splits(off) == {"test"}
    assert few.fingerprint == off.fingerprint != trained.fingerprint
    assert few.summary["training"]["reason"] != off.summary["training"]["reason"], "each has its own summary"
