"""On real faces: a stranger's larger face beside the subject does not become the subject, and photos of one face keep their crops."""

from pathlib import Path

import pytest
from PIL import Image

from face_assets.audit.steps import audit_labels
from face_assets.cli.audit_report import audit_report, audit_text
from face_assets.core.files import write_json
from face_assets.core.settings import remember
from face_assets.dataset.repository_creation import create_repository
from face_assets.dataset.steps import version_dataset
from face_assets.detection.crop_keys import crop_key, crop_keys
from face_assets.detection.detectors import crop_store
from face_assets.detection.steps import align_dataset, read_faces
from face_assets.gallery.steps import _enrolled
from face_assets.registry.git import git
from face_assets.registry.workspace import Workspace
from face_assets.storage.artifacts import Artifact

PEOPLE = ("Abdullah_Gul", "Ann_Veneman", "Jiri_Novak")
STRANGER = "Bill_Gates/Bill_Gates_0001.jpg"
PARAMS = "detector: {{choose: {choose}}}\nembedder: {{weights: {weights}, whitening: per_image}}\nsplit: {{min_test_people: 2}}\n"

pytestmark = pytest.mark.real


def silent(*_: object) -> None:
    """No progress to show."""


@pytest.fixture
def workspace(real_data: Path, tmp_path: Path, home: Path) -> Workspace:
    """A data repository that chooses the largest face: in one photo of each person, and in both of a fourth, it is a stranger's."""
    stranger = Image.open(real_data / "lfw" / STRANGER)
    for person, count in (*((person, 3) for person in PEOPLE), ("Hu_Jintao", 2)):
        (tmp_path / "photos" / person).mkdir(parents=True)
        for number in range(count):
            photo: Image.Image = Image.open(real_data / "lfw" / person / f"{person}_{number + 1:04}.jpg")
            if number == 1 or count == 2:
                subject, photo = photo, Image.new("RGB", (650, 400))
                photo.paste(subject, (0, 80))
                photo.paste(stranger.resize((400, 400)), (250, 0))
            photo.save(tmp_path / "photos" / person / f"{number}.png")
    weights = next(iter(sorted((real_data / "weights").glob("*.pt"))))
    people = tmp_path / "photos"
    create_repository(tmp_path / "data", people, PARAMS.format(choose="largest", weights=weights), None, people)
    remember(repo=str(tmp_path / "data"))
    return Workspace.load()


def aligned(workspace: Workspace) -> tuple[str, Artifact]:
    workspace.repository.refresh()
    commit = workspace.repository.resolve("HEAD")
    return commit, align_dataset(workspace, commit, version_dataset(workspace, commit, silent), silent)


def test_the_subject_agrees_with_the_person_s_other_photos(workspace: Workspace, tmp_path: Path) -> None:
    """Crops that the largest face gave stay, to the byte; those of further faces come when a consensus is asked for."""
    commit, before = aligned(workspace)
    keys = [face.md5 for face in read_faces(before)]
    crops = {entry.key: entry for entry in crop_store(workspace, workspace.params(commit).detector).entries(keys)}
    assert before.summary["several"] >= 5
    assert audit_labels(workspace, commit, before, silent).fingerprint == before.fingerprint

    params = tmp_path / "data" / "params.yaml"
    params.write_text(params.read_text().replace("largest", "consensus"))
    git("commit", "-q", "-am", "Choose by consensus", cwd=tmp_path / "data")
    commit, after = aligned(workspace)
    assert after.fingerprint == before.fingerprint
    store = crop_store(workspace, workspace.params(commit).detector)
    assert {entry.key: entry for entry in store.entries(keys)} == crops

    further = {face.identity: [key for key in crop_keys(face.md5, 2)[1:] if not store.missing([key])] for face in read_faces(after)}
    assert further["Hu_Jintao"] == []  # two photos make no consensus

    audited = audit_labels(workspace, commit, after, silent)
    pasted = [f"{person}/1.png" for person in PEOPLE]
    subjects = audited.summary["subject_examples"]
    assert [subject["path"] for subject in subjects] == pasted
    assert all(subject["chosen"] > 0.5 > subject["first_choice"] for subject in subjects)
    assert audited.fingerprint != before.fingerprint
    faces = read_faces(audited)
    for face in faces:
        assert face.crop_key == crop_key(face.md5, 1 if face.path in pasted else 0)
        assert store.facts([face.crop_key])[face.crop_key]["box"][0] < 250 or face.identity == "Hu_Jintao"
    reference = workspace.home.artifact_references / "label_audit" / f"{commit}.json"
    reference.parent.mkdir(parents=True)
    write_json(reference, audited.to_json(workspace.home.root))
    report = audit_text(audit_report("HEAD"))
    assert "3 subjects chosen by agreement" in report
    assert all(f"subject      {path}: a face agrees" in report for path in pasted)
    enrolled, *_ = _enrolled(workspace, commit, workspace.params(commit), audited, set(), silent)
    assert {face.crop_key for face in enrolled} == {face.crop_key for face in faces}
