"""Groups of the test photos, from an attributes file in a data repository's git: a photo without a group is reported."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from face_assets.core.errors import UserError
from face_assets.core.params import Evaluation
from face_assets.core.settings import remember
from face_assets.detection.steps import Face
from face_assets.evaluation.group_figures import evaluate_groups, groups_markdown
from face_assets.evaluation.labelled_photos import LabelledPhotos
from face_assets.registry.git import git
from face_assets.registry.workspace import Workspace

ACCENTS = "Zoë Müller"
NFC, NFD = (unicodedata.normalize(form, ACCENTS) for form in ("NFC", "NFD"))


@pytest.fixture
def workspace(repository: Path, home: Path) -> Workspace:
    """A fresh home that follows a data repository."""
    remember(repo=str(repository))
    return Workspace.load()


def photos_in_groups(workspace: Workspace, table: str, faces: list[Face]) -> tuple[dict[str, int], list[str]]:
    """Group → its photos, and the sentences."""
    data = Path(workspace.settings.repo or "")
    (data / "people.csv").write_text(table, encoding="utf-8")
    git("add", "people.csv", cwd=data)
    git("commit", "-q", "-m", "Say what is known of people", cwd=data)
    workspace.repository.refresh()
    commit = workspace.repository.resolve("HEAD")
    paths, identities = [face.path for face in faces], [face.identity for face in faces]
    photos = LabelledPhotos(paths, [face.md5 for face in faces], identities, faces, np.arange(len(faces)))
    seen = photos.seen(np.eye(len(faces), dtype=np.float32))
    groups, notes = evaluate_groups(workspace, commit, Evaluation(attributes="people.csv"), photos, seen, 0.5, ())
    return {group.name: group.photos for group in groups["age"]}, notes


def face(identity: str, path: str) -> Face:
    return Face(path, "0" * 32, identity, "test", "0" * 32)


def test_people_and_photos_are_in_their_groups_however_their_names_are_written(workspace: Workspace) -> None:
    faces = [face(NFC, f"{NFD}/1.jpg"), face(NFC, f"{NFC}/2.jpg"), face("Ann", "Ann/1.jpg")]
    assert photos_in_groups(workspace, f"identity,age\n {NFD} ,old\nAnn,young\n", faces) == ({"old": 2, "young": 1}, [])
    photos = f"photo,age\n{NFC}/1.jpg,old\n{NFD}/2.jpg ,old\nAnn/1.jpg,young\n"
    assert photos_in_groups(workspace, photos, faces) == ({"old": 2, "young": 1}, [])


def test_photos_in_no_group_are_counted(workspace: Workspace) -> None:
    faces = [face("Ann", "Ann/1.jpg"), face("Bob", "Bob/1.jpg"), face("Cid", "Cid/1.jpg")]
    found, notes = photos_in_groups(workspace, "identity,age\nAnn,old\nBob,\n", faces)
    assert (found, notes) == ({"old": 1}, ["2 of 3 test photos are in no group of age"])
    note = "old: 1 test people, too few for a figure"
    said = groups_markdown({"age": {"old": {"people": 1, "figures": {}, "note": note}}}, [*notes, note])
    assert said.split("\n") == ["**age**", "", f"- {note}", "", f"- {notes[0]}", ""]
    with pytest.raises(UserError, match="names no test photo"):
        photos_in_groups(workspace, "identity,age\nEve,old\n", faces)
