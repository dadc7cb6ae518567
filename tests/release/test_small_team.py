"""A small team: two people with one photo each are released with the starting weights, and a card that says how sure it is."""

import re
from pathlib import Path
from shutil import copytree

import pytest
import torch

from face_assets.cli.new_repository import init_repository
from face_assets.core.errors import RefusedError
from face_assets.core.settings import remember
from face_assets.dataset.repository_creation import commit_photos, create_repository
from face_assets.demo.synthetic import write_people
from face_assets.embedding.weights import load_embedder
from tests.release.test_steps import Made

SMALL = "detector: {image_size: 80, margin: 16, align: upright}\nserving: {golden_requests: 4}\n"
RANDOM = (
    f"{SMALL}embedder: {{weights: scratch, embedding_size: 32}}\ntrain: {{epochs: 0}}\n"
    "evaluation: {min_auc: 0.0, stress: {photos: 1}}\n"
)

pytestmark = pytest.mark.slow


def follow(folder: Path, photos: Path, params: str) -> Path:
    create_repository(folder / "data", photos, params, None, None)
    remember(repo=str(folder / "data"))
    return folder / "data"


def test_two_people_with_a_photo_each_are_released_and_more_photos_keep_the_embedder(tmp_path: Path, home: Path) -> None:
    """The network is random, which evaluation.min_auc: 0 allows."""
    write_people(tmp_path / "photos", 2, 1)
    data = follow(tmp_path, tmp_path / "photos", RANDOM)
    first = Made()
    figures = first.evaluation["figures"]["trained"]
    assert (first.release["release"], first.release["production"]) == ("v1.0.0", True)
    assert (figures["genuine_pairs"], figures["impostor_pairs"], figures["auc"]) == (0, 1, None)
    assert any("not judged: 0 test people have two photos" in note for note in first.evaluation["gate_notes"])
    assert first.parts.dataset.summary["people_by_split"] == {"train": 0, "validation": 0, "test": 2}
    for said in ("all 2 people with a face are test people", "| starting weights, served | 2 | not measurable |", "FNIR is not measurable"):
        assert said in first.card
    assert "None, nothing is trained, for train.epochs is 0" in first.card

    write_people(tmp_path / "more", 3, 3, first_photo=1)
    commit_photos(data, tmp_path / "more", "Add a person, and photos")
    second = Made()
    assert second.parts.embedder.fingerprint == first.parts.embedder.fingerprint
    assert second.release["release"] == "v1.1.0"
    assert second.evaluation["test_people"] == 3
    assert re.search(r"FNIR is [\d.]+%, by [23] people: with 95 % confidence [\d.]+% to [\d.]+%", second.card)


def test_weights_that_tell_nobody_apart_are_refused_with_what_to_do(tmp_path: Path, home: Path) -> None:
    write_people(tmp_path / "photos", 8, 1)
    torch.save(load_embedder("scratch", 32, seed=0).state_dict(), tmp_path / "random.pt")
    follow(tmp_path, tmp_path / "photos", f"{SMALL}embedder: {{weights: {tmp_path}/random.pt}}\n")
    with pytest.raises(RefusedError, match=r"random.pt tell nobody apart: on faces of \d people .* or train with 372 people"):
        Made()


@pytest.mark.real
def test_a_family_goes_live_with_weights_that_tell_its_faces_apart(tmp_path: Path, home: Path, real_data: Path) -> None:
    for folder in sorted((real_data / "lfw").iterdir())[:2]:
        copytree(folder, tmp_path / "photos" / folder.name)
    weights = real_data / "weights" / "inception_resnet_v1_msceleb_128d.pt"
    notes: list[str] = []
    init_repository(tmp_path / "data", tmp_path / "photos", None, None, str(weights), None, notes.append)
    remember(repo=str(tmp_path / "data"))
    assert any("embedder.whitening: per_image, measured on 2 people and altered copies" in note for note in notes)
    made = Made()
    assert made.release["production"]
    measured = made.parts.embedder.summary["measured"]
    assert measured["auc"] == 1.0 and measured["gap"] > 0.4
    assert re.search(r"nothing is trained: [012] people to train on", made.card)
