"""The crops of one face by two detectors."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from face_assets.core.files import write_json
from face_assets.core.fingerprint import fingerprint, tree_digest
from face_assets.core.params import Detector
from face_assets.core.settings import remember
from face_assets.core.step_versions import step_version
from face_assets.dataset.repository_creation import create_repository
from face_assets.dataset.steps import PHOTOS
from face_assets.demo.synthetic import draw
from face_assets.detection.detectors import (
    LATER,
    OF_ONNX,
    crop_store,
    detector_config,
    detector_fingerprint,
    detector_networks,
    served_detector,
)
from face_assets.detection.same_faces import overlap, same_faces
from face_assets.detection.steps import align
from face_assets.registry.workspace import Workspace


def silent(*_: object) -> None:
    """No progress to show."""


@pytest.fixture
def workspace(tmp_path: Path, home: Path, networks: Path) -> Workspace:
    """One photo of two faces: the smaller one in its centre."""
    photo = Image.new("RGB", (700, 300), (90, 110, 130))
    photo.paste(draw(1, 0).resize((180, 180)), (260, 60))
    photo.paste(draw(2, 0).resize((230, 230)), (450, 35))
    (tmp_path / "photos" / "Ann").mkdir(parents=True)
    photo.save(tmp_path / "photos" / "Ann" / "both.png")
    create_repository(tmp_path / "data", tmp_path / "photos", "", None, None)
    remember(repo=str(tmp_path / "data"))
    shutil.copytree(networks, home / "detector")
    return Workspace.load()


def test_the_chosen_face_is_found_among_those_of_another_detector(workspace: Workspace) -> None:
    workspace.repository.refresh()
    commit, ours = workspace.repository.resolve("HEAD"), Detector()
    md5s = _md5s(workspace, commit)
    ((md5, fact),) = align(workspace, commit, PHOTOS, md5s, ours, 100.0, silent, every_face=md5s).facts.items()
    assert fact["faces"] == 2
    small = crop_store(workspace, ours).facts([f"{md5}.1"])[f"{md5}.1"]
    assert small["box"][0] < fact["box"][0]
    for theirs, key in ((Detector(choose="largest"), f"{md5}.1"), (Detector(margin=8), f"{md5}.1"), (Detector(choose="most_central"), md5)):
        assert same_faces(workspace, commit, PHOTOS, {md5: f"{md5}.1"}, (ours, theirs), 100.0, silent) == {md5: key}
        assert overlap(crop_store(workspace, theirs).facts([key])[key]["box"], small["box"]) > 0.9
        assert same_faces(workspace, commit, PHOTOS, {md5: md5}, (ours, theirs), 100.0, silent) == {md5: md5}
    blind = Detector(thresholds=(1.0, 1.0, 1.0))
    assert same_faces(workspace, commit, PHOTOS, {md5: f"{md5}.1"}, (ours, blind), 100.0, silent) == {}


def _md5s(workspace: Workspace, commit: str) -> list[str]:
    return [file.md5 for file in workspace.repository.files(commit, PHOTOS)]


def test_overlap_is_intersection_over_union() -> None:
    assert overlap((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 1, 1), (2, 2, 3, 3)) == 0.0
    assert overlap((5, 5, 9, 9), (5, 5, 9, 9)) == 1.0


def test_former_settings_keep_their_crop_store(workspace: Workspace, tmp_path: Path) -> None:
    former = Detector(align="box", turned_below=0.0)
    later = (*LATER, *OF_ONNX)
    settings = {name: value for name, value in detector_config(former).__dict__.items() if name not in later}
    expected = fingerprint(tree_digest(detector_networks(workspace, former)), settings, step_version("detection"))
    assert detector_fingerprint(workspace, former) == expected
    assert len({detector_fingerprint(workspace, one) for one in (former, Detector(), Detector(align="upright"))}) == 3
    for made, settings_of in ((former, settings), (Detector(), Detector.model_fields)):  # the first, a release that was made before
        recorded = {name: value for name, value in made.model_dump(mode="json").items() if name in settings_of}
        write_json(tmp_path / "recognizer.json", {"detector": recorded})
        assert served_detector(tmp_path) == made
