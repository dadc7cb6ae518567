"""The audit of real photos by real weights, from a commit to the list and the report."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from face_assets.audit.gallery_steps import audit_gallery, left_out_of_gallery
from face_assets.audit.steps import audit_labels
from face_assets.cli.main import main
from face_assets.core.files import write_json
from face_assets.core.settings import remember
from face_assets.dataset.repository_creation import create_repository
from face_assets.dataset.steps import version_dataset
from face_assets.detection.steps import align_dataset, read_faces
from face_assets.registry.workspace import Workspace

PEOPLE, PHOTOS = 8, 4
PARAMS = """
embedder: {{weights: {weights}, whitening: per_image}}
audit: {{action: leave_out}}
"""

pytestmark = [pytest.mark.slow, pytest.mark.real]


def fill(folder: Path, person: str, photos: list[Path]) -> None:
    (folder / person).mkdir(parents=True, exist_ok=True)
    for photo in photos:
        shutil.copy(photo, folder / person / photo.name)


@pytest.fixture
def workspace(real_data: Path, tmp_path: Path, home: Path) -> Workspace:
    """Eight people, of whom one has a photo of another, one has two names, and two have each other's photos in the gallery."""
    people = [sorted(folder.iterdir()) for folder in sorted((real_data / "lfw").iterdir())]
    people = [photos for photos in people if PHOTOS + 2 <= len(photos) <= 2 * PHOTOS][:PEOPLE]
    for number, photos in enumerate(people):
        fill(tmp_path / "photos", f"p{number}", photos[:PHOTOS])
        fill(tmp_path / "gallery", f"p{ {3: 4, 4: 3}.get(number, number) }", photos[PHOTOS : PHOTOS + 2])
    (tmp_path / "photos" / "p0" / people[0][0].name).rename(tmp_path / "photos" / "p1" / "wrong.jpg")

    fill(tmp_path / "photos", "p2 again", people[2][PHOTOS : PHOTOS + 2])
    weights = real_data / "weights" / "inception_resnet_v1_msceleb_128d.pt"
    create_repository(tmp_path / "data", tmp_path / "photos", PARAMS.format(weights=weights), None, tmp_path / "gallery")
    remember(repo=str(tmp_path / "data"))
    return Workspace.load()


def test_wrong_labels_of_real_photos_are_found_reported_and_left_out(workspace: Workspace) -> None:
    lines: list[str] = []
    commit = workspace.repository.resolve("HEAD")
    aligned = align_dataset(workspace, commit, version_dataset(workspace, commit, lines.append), lines.append)
    audited = audit_labels(workspace, commit, aligned, lines.append)
    found = {(one["kind"], one["path"], one["agrees_with"]) for one in audited.summary["findings"]}
    assert ("wrong_person", "p1/wrong.jpg", "p0") in found
    assert {frozenset((one[1], one[2])) for one in found if one[0] == "two_names"} == {frozenset(("p2", "p2 again"))}
    assert "p1/wrong.jpg" in {face.path for face in read_faces(aligned)} - {face.path for face in read_faces(audited)}
    assert (audited.directory / "suspects.jpg").stat().st_size < 300_000
    gallery = audit_gallery(workspace, commit, audited, lines.append)
    swapped = {path.partition("/")[0] for path in left_out_of_gallery(gallery)}
    assert swapped == {"p3", "p4"}
    assert (gallery.summary["photos"], gallery.summary["left_out"]) == (2 * PEOPLE, 4)
    references = workspace.home.artifact_references
    write_json(references / "label_audit" / f"{commit}.json", audited.to_json(workspace.home.root))
    write_json(references / "gallery_audit" / f"{commit}.json", gallery.to_json(workspace.home.root))
    printed: Any = CliRunner().invoke(main, ["audit"])
    assert printed.exit_code == 0
    assert "wrong_person p1/wrong.jpg: shows p0 and not p1 (own 0." in printed.output
    assert "gallery/p3/" in printed.output
