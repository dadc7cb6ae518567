"""Steps from a commit to its release: an unchanged commit is released once, whatever is in production, and a corrected file again."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from face_assets.audit.gallery_steps import audit_gallery
from face_assets.audit.steps import audit_labels
from face_assets.core.settings import remember
from face_assets.dataset.repository_creation import create_repository
from face_assets.dataset.steps import version_dataset
from face_assets.demo.synthetic import write_people
from face_assets.detection.steps import align_dataset
from face_assets.embedding.export_steps import export_embedder
from face_assets.embedding.steps import train_embedder
from face_assets.evaluation.steps import evaluate_embedder
from face_assets.gallery.search import Gallery
from face_assets.gallery.steps import enroll
from face_assets.registry.git import git
from face_assets.registry.workspace import Workspace
from face_assets.release import steps
from face_assets.release.comparison import compare
from face_assets.release.steps import Parts, make_release

PEOPLE, PHOTOS = 8, 4
PARAMS = """
split: {{validation: 0.1, test: 0.6, min_test_people: 2}}
detector: {{image_size: 80, margin: 16, align: upright, thresholds: [0.6, 0.7, {certain}]}}
embedder: {{weights: scratch, embedding_size: 32}}
train: {{unfreeze: all, epochs: 0, batch_size: 16, embedding_regularization: 0.0, scale: 16.0}}
evaluation: {{far: 0.05, fpir: 0.1, min_auc: 0.0, min_accuracy: 0.0, max_regression: 1.0{more},
  stress: {{conditions: {{}}}}}}
gallery: {{action: report}}
"""
STRICT, FINDS_ALL = 0.99, 0.7

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of synthetic people."""
    folder = tmp_path_factory.mktemp("people") / "photos"
    write_people(folder, PEOPLE, PHOTOS)
    return folder


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory, networks: Path) -> Path:
    """Stores that keep by content, for all tests: the same crops, features and artifacts of steps are made once."""
    folder = tmp_path_factory.mktemp("stores")
    for name in ("artifacts", "crops", "features"):
        (folder / name).mkdir()
    (folder / "detector").symlink_to(networks)
    return folder


@pytest.fixture
def warm_home(stores: Path, home: Path) -> Path:
    """A state directory of the test's own, without a release, on the shared stores."""
    home.mkdir()
    for store in stores.iterdir():
        (home / store.name).symlink_to(store)
    return home


@pytest.fixture
def data(photos: Path, tmp_path: Path, warm_home: Path) -> Path:
    """A data repository of these people; its detector overlooks many faces."""
    create_repository(tmp_path / "data", photos, PARAMS.format(certain=STRICT, more=""), None, None)
    remember(repo=str(tmp_path / "data"))
    return tmp_path / "data"


def commit(data: Path, **files: str) -> None:
    for name, text in files.items():
        (data / name.replace("_", ".")).write_text(text, encoding="utf-8")
    git("add", "-A", cwd=data)
    git("commit", "-q", "-m", "Change it", cwd=data)


class Made:
    """Artifacts of a run of the newest commit, without Dagster; `late`: without the last step, which `register` does."""

    def __init__(self, late: bool = False) -> None:
        workspace, self.log = Workspace.load(), list[str]()
        workspace.repository.refresh()
        newest = workspace.repository.resolve("HEAD")
        dataset = version_dataset(workspace, newest, self.log.append)
        aligned = align_dataset(workspace, newest, dataset, self.log.append)
        audited = audit_labels(workspace, newest, aligned, self.log.append)
        embedder = train_embedder(workspace, newest, audited, self.log.append)
        exported = export_embedder(workspace, newest, audited, embedder, self.log.append)
        evaluation = evaluate_embedder(workspace, newest, audited, exported, self.log.append)
        gallery_audited = audit_gallery(workspace, newest, audited, self.log.append)
        gallery = enroll(workspace, newest, audited, gallery_audited, evaluation, exported, self.log.append)
        self.commit, self.parts = newest, Parts(dataset, aligned, audited, embedder, evaluation, exported, gallery)
        self.evaluation: dict[str, Any] = evaluation.summary
        if not late:
            self.register()

    def register(self) -> None:
        """Makes the release, and puts it into production if the gate lets it through."""
        released = make_release(Workspace.load(), self.commit, self.parts, self.log.append)
        self.release: dict[str, Any] = released.summary
        self.directory = released.directory
        self.card = (released.directory / "model_card.md").read_text(encoding="utf-8")


def test_a_photo_without_a_face_counts_against_whoever_does_not_find_it(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Made()
    missed, every = first.evaluation["failures_to_acquire"], first.evaluation["test_photos"]
    assert missed > 0 and first.release["release"] == "v1.0.0"
    commit(data, params_yaml=PARAMS.format(certain=FINDS_ALL, more=""))
    with monkeypatch.context() as earlier_version:
        earlier_version.setattr(steps, "_inputs", steps._earlier_inputs)
        made = Made()
    figures, few = made.evaluation["figures"], made.evaluation["failures_to_acquire"]
    assert few < missed
    assert {name: (found["photos"], found["failures_to_acquire"]) for name, found in figures.items()} == {
        "trained": (every, few),
        "start": (every, few),
        "production": (every, missed),
    }
    sentence = f"production: no usable face in {missed} of {every} test photos"
    assert any(sentence in line for line in made.log)
    assert any(sentence in note for note in made.evaluation["gate_notes"])
    assert f"{missed} by production" in made.card
    version = made.release["release"]
    assert version in ("v1.1.0", "v2.0.0") and made.release["production"]
    again = Made()
    assert again.evaluation["production"] == version
    assert again.evaluation["verification_threshold"] == made.evaluation["verification_threshold"]
    assert again.evaluation["figures"]["trained"] == figures["trained"]
    assert (again.release["release"], again.release["new"]) == (version, False)
    made.evaluation["verification_threshold"] += 0.01
    made.register()
    assert made.release["new"] and made.release["release"] != version
    version = made.release["release"]
    commit(data, params_yaml=PARAMS.format(certain=STRICT, more="").replace("max_regression: 1.0", "max_regression: 0.0, confidence: 0.5"))
    blind = Made()
    assert not blind.evaluation["passed"] and not blind.release["production"]
    assert any(f"it finds no face in {missed} of {every} photos, {version} in {few}" in one for one in blind.evaluation["reasons"])


def test_the_gate_compares_with_what_came_into_production_since_the_evaluation(data: Path) -> None:
    """Of two commits whose runs went side by side, the later and worse one, of another seed, was better than what was there before.

    Both have a stress table, whose photos the first degrades for both, and an index of the gallery.
    """
    asked = PARAMS.format(certain=FINDS_ALL, more="").replace("max_regression: 1.0", "max_regression: 0.1, confidence: 0.5")
    asked = asked.replace("conditions: {}", "conditions: {jpeg: [10], mask: []}, photos: 4") + "search: {index_from: 2}\n"
    first = Made()
    commit(data, params_yaml=asked.replace("epochs: 0", "epochs: 0, seed: 1"))
    better = Made(late=True)
    commit(data, params_yaml=asked.replace("epochs: 0", "epochs: 0, seed: 2"))
    worse = Made(late=True)
    assert better.evaluation["passed"] and worse.evaluation["passed"]
    better.register()
    worse.register()
    assert better.release["production"]
    assert any("stress: degrading 4 photos in 3 ways, 12 of them new" in line for line in better.log)
    assert not any("degrading" in line for line in [*first.log, *worse.log]), "another embedder has the same degraded faces"
    stressed = better.evaluation["stress"]
    rows = [(row["condition"], row["strength"], row["photos"]) for row in stressed["rows"]["trained"]]
    assert rows == [("clean", None, 4), ("jpeg", 10.0, 4), ("mask", None, 4)] and stressed["rows"].keys() == {"trained", "production"}
    assert any("the stress table is not compared with v1.0.0" in note for note in better.evaluation["gate_notes"])
    assert (better.parts.evaluation.directory / "stress.png").is_file()
    assert "## On bad photos" in better.card and "| jpeg 10 | 4 of " in better.card and "On bad photos" not in first.card
    assert Gallery.load(better.directory).index and Gallery.load(first.directory).index is None
    assert "is searched by an index (faiss " in better.card and "by an index" not in first.card
    beside = compare(Workspace.load(), "v1.0.0", better.release["release"]).stress
    assert [(one.condition, one.tar[0], one.failures[0]) for one in beside] == [(name, "", "") for name in ("clean", "jpeg 10", "mask")]
    assert not worse.release["production"] and "the gate refused it" in worse.release["stage_reason"]


def test_a_corrected_attributes_file_makes_a_release_whose_groups_are_right(data: Path) -> None:
    named = PARAMS.format(certain=FINDS_ALL, more=", attributes: people.csv")
    people = sorted(folder.name for folder in (data / "photos").iterdir())
    table = "identity,age\n" + "".join(f"{name},young\n" for name in people)
    commit(data, params_yaml=named, people_csv=table)
    first = Made()
    assert "- old: " not in first.card
    commit(data, people_csv=table.replace("young", "old"))
    corrected = Made()
    assert (corrected.release["release"], corrected.release["new"]) == ("v1.0.1", True)
    assert "- old: " in corrected.card
    again = Made()
    assert again.release["new"] is False
    evaluations = corrected.parts.evaluation, again.parts.evaluation
    assert (evaluations[0].summary["production"], evaluations[1].summary["production"]) == ("v1.0.0", "v1.0.1")
    assert evaluations[0].directory == evaluations[1].directory, "production has the same recognizer, so nothing is evaluated again"
    assert [one["release"] for one in evaluations[1].summary["recognition"]["beside"]] == ["v1.0.1"]


def test_a_file_that_stands_twice_in_the_gallery_is_enrolled_once_or_under_nobody(photos: Path, tmp_path: Path, warm_home: Path) -> None:
    first, second, third = (shutil.copytree(folder, tmp_path / "gallery" / folder.name) for folder in sorted(photos.iterdir())[:3])
    shutil.copy(min(first.iterdir()), first / "again.jpg")
    shutil.copy(min(second.iterdir()), third / "theirs.jpg")
    create_repository(tmp_path / "data", photos, PARAMS.format(certain=FINDS_ALL, more=""), None, tmp_path / "gallery")
    remember(repo=str(tmp_path / "data"))
    made = Made()
    found = made.parts.gallery.summary
    assert (found["people"], found["left_out"]) == (3, 3)
    assert found["photos"] < 3 * PHOTOS  # of 14 files 3 are left out, and in one more no face is found
    assert f"{third.name}/theirs.jpg" in found["left_out_examples"]
    assert any("3 photos of gallery.dvc are left out" in line for line in made.log)
