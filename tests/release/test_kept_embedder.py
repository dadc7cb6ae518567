"""A commit that adds little keeps the embedder in production; one that adds much, or takes away what it learned from, trains."""

import shutil
from pathlib import Path

import pytest

from face_assets.audit.steps import audit_labels
from face_assets.core.settings import remember
from face_assets.dataset.repository_creation import commit_photos, create_repository
from face_assets.dataset.steps import version_dataset
from face_assets.demo.synthetic import write_people
from face_assets.detection.steps import align_dataset
from face_assets.embedding.steps import train_embedder
from face_assets.registry.workspace import Workspace
from face_assets.release.training_age import training_age
from face_assets.storage.artifacts import Artifact
from tests.embedding.fitted_weights import write_fitted_weights
from tests.release.test_steps import Made

PEOPLE, PHOTOS = 10, 3
PARAMS = """
split: {{validation: 0.1, test: 0.4, min_test_people: 2}}
detector: {{image_size: 80, margin: 16, align: upright}}
embedder: {{weights: {weights}, whitening: per_image}}
train: {{epochs: 1, min_people: 2, batch_size: 16, again_at: 0.2}}
evaluation: {{far: 0.05, fpir: 0.1, min_auc: 0.0, min_accuracy: 0.0, max_regression: 1.0, max_people_lost: 1.0,
  stress: {{conditions: {{}}}}}}
gallery: {{action: report}}
serving: {{golden_requests: 2}}
"""

pytestmark = pytest.mark.slow


def trained_on(made: Made) -> set[str]:
    lines = (made.directory / "learned_from.csv").read_text(encoding="utf-8").splitlines()
    return {line.split(",")[0] for line in lines[1:]}


def embedder(train: bool = False) -> Artifact:
    """The embedder of a run of the newest commit that ends there."""
    workspace = Workspace.load()
    workspace.repository.refresh()
    newest = workspace.repository.resolve("HEAD")
    aligned = align_dataset(workspace, newest, version_dataset(workspace, newest, print), print)
    return train_embedder(workspace, newest, audit_labels(workspace, newest, aligned, print), print, train)


@pytest.fixture
def data(tmp_path: Path, home: Path, networks: Path) -> Path:
    """A data repository whose first PEOPLE people are committed."""
    home.mkdir()
    (home / "detector").symlink_to(networks)
    write_people(tmp_path / "photos", PEOPLE, PHOTOS)
    weights = write_fitted_weights(tmp_path / "weights.pt")
    create_repository(tmp_path / "data", tmp_path / "photos", PARAMS.format(weights=weights), None, None)
    remember(repo=str(tmp_path / "data"))
    return tmp_path / "data"


def add_photo_of(data: Path, person: str, count: int = 1) -> None:
    """Commits further photos of a person, drawn as somebody else's."""
    before = len(list((data / "photos" / person).iterdir()))
    write_people(data.parent / "drawn", 1, count, first_person=50, first_photo=before)
    (drawn,) = (data.parent / "drawn").iterdir()
    (data.parent / "added").mkdir()
    drawn.rename(data.parent / "added" / person)
    commit_photos(data, data.parent / "added", "Add photos")
    shutil.rmtree(data.parent / "added")
    shutil.rmtree(data.parent / "drawn")


def test_what_a_commit_adds_decides_whether_it_trains(data: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Made()
    summary = first.parts.embedder.summary
    assert (summary["kept"], summary["reason"]) == (None, "no release is in production")
    assert first.release["production"] and "Not for this commit" not in first.card
    people = trained_on(first)
    assert len(people) == summary["people"]

    add_photo_of(data, min(people))
    little = Made()
    kept = little.parts.embedder.summary["kept"]
    assert (kept["release"], kept["photos"], kept["people"]) == ("v1.0.0", 1, 0)
    assert little.release["release"] == "v1.1.0" and little.release["production"]
    assert trained_on(little) == people
    digests = [Workspace.load().releases.get(version).digests for version in ("v1.0.0", "v1.1.0")]
    assert digests[0].embeddings == digests[1].embeddings and digests[0].recognition != digests[1].recognition
    assert "the embedder is that of v1.0.0, trained for commit" in little.card and "1 photos and 0 people to learn from" in little.card
    age = training_age(Workspace.load().releases.get("v1.1.0"))
    assert age and (age["trained_commit"], age["photos_since"]) == (first.commit, 1)

    again = Made()  # with its own release in production
    assert (again.release["release"], again.release["new"]) == ("v1.1.0", False)
    assert again.parts.embedder.summary["kept"] == kept
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for store in ("detector", "crops", "features"):
        (elsewhere / store).symlink_to(home / store)
    with monkeypatch.context() as another:
        another.setenv("FACE_ASSETS_HOME", str(elsewhere))
        remember(repo=str(data))
        fetched = embedder()  # on a machine that has neither the weights nor the decision
    assert (fetched.fingerprint, fetched.reused) == (little.parts.embedder.fingerprint, False)

    asked = embedder(train=True)
    assert (asked.summary["kept"], asked.summary["photos"]) == (None, summary["photos"] + 1)
    assert embedder().fingerprint == asked.fingerprint  # it stays trained, though its release was kept

    erased = max(people)
    shutil.rmtree(data / "photos" / erased)
    add_photo_of(data, min(people))
    without = embedder().summary
    assert without["kept"] is None and without["photos"] < summary["photos"]
    assert without["reason"] == f"{PHOTOS} photos from which the embedder in production learned are gone or renamed, and 1 of its people"
