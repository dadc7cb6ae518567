"""Alignment and synthetic people: found faces, listed failures, the same by one process as by two."""

from pathlib import Path

import numpy as np
import pytest

from face_assets.content_store import ContentStore
from face_assets.dataset import alignment
from face_assets.dataset.contact_sheet import contact_sheet
from face_assets.dataset.inspection import inspect_photos
from face_assets.dataset.synthetic import draw, write_people
from face_assets.dataset.traits import name_of
from face_assets.embedder.facenet import export_detector
from face_assets.vision.mtcnn import Detector, DetectorConfig


def nothing(done: int, whole: int) -> None:
    """No progress to show."""


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("networks")
    export_detector(folder)
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> dict[str, Path]:
    write_people(tmp_path / "people", 3, 2)
    found = sorted((tmp_path / "people").rglob("*.jpg"))
    (tmp_path / "truncated.jpg").write_bytes(found[0].read_bytes()[:2000])
    draw(0, 0).crop((0, 200, 250, 250)).save(tmp_path / "faceless.png")
    named = {f"good{number}": path for number, path in enumerate(found)}
    return {**named, "truncated": tmp_path / "truncated.jpg", "faceless": tmp_path / "faceless.png"}


@pytest.mark.parametrize(("workers", "worth_processes"), [(1, 1), (2, 1), (2, 200)])
def test_a_photo_that_cannot_be_used_does_not_stop_the_rest(
    photos: dict[str, Path], networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, worth_processes: int
) -> None:
    monkeypatch.setattr(alignment, "WORTH_PROCESSES", worth_processes)
    store = ContentStore(tmp_path / "crops.sqlite")
    alignment.align_photos(photos, store, networks, DetectorConfig(), 100.0, workers, nothing)
    entries = {entry.key: entry for entry in store.entries(photos)}
    assert entries["truncated"].facts["status"] == "unusable"
    assert entries["truncated"].facts["reason"] == "truncated"
    assert entries["faceless"].facts["status"] == "no_face"
    faces = [entry for key, entry in entries.items() if key.startswith("good")]
    assert sum(entry.facts["status"] == "face" and len(entry.blob or b"") == 160 * 160 * 3 for entry in faces) >= 5


def test_the_limit_in_force_decides_whatever_was_aligned_before(photos: dict[str, Path], networks: Path, tmp_path: Path) -> None:
    """Photos of 0.0625 megapixels: refused under 0.05, found under 0.1, refused again under 0.05."""
    store = ContentStore(tmp_path / "crops.sqlite")
    good = {key: path for key, path in photos.items() if key.startswith("good")}

    def align(limit: float) -> dict[str, str]:
        files = {key: good[key] for key in alignment.unaligned(store, good, limit)[0]}
        alignment.align_photos(files, store, networks, DetectorConfig(), limit, 1, nothing)
        return {key: fact["status"] for key, fact in alignment.within(store.facts(good), limit).items()}

    refused = dict.fromkeys(good, "unusable")
    assert align(0.05) == refused
    found = align(0.1)
    assert list(found.values()).count("face") >= 5
    assert align(0.05) == refused
    assert alignment.within(store.facts(good), 0.05)["good0"]["reason"] == "0.1 megapixels, more than 0.1"
    assert align(0.1) == found and not store.missing(good)


def test_inspection_lists_problems_by_photo(photos: dict[str, Path], tmp_path: Path) -> None:
    store = ContentStore(tmp_path / "inspections.sqlite")
    inspect_photos(photos, store, 100.0, 2, nothing)
    facts = store.facts(photos)
    assert facts["truncated"] == {"problem": "truncated"}
    assert (facts["good0"]["format"], facts["good0"]["width"]) == ("JPEG", 250)


def test_synthetic_people_are_the_same_every_time_and_have_names_of_their_own(tmp_path: Path) -> None:
    write_people(tmp_path / "one", 2, 2)
    write_people(tmp_path / "two", 2, 2)
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).rglob("*.jpg")} for name in ("one", "two"))
    assert one == two
    assert len(one) == len(set(one.values())) == 4
    assert len({name_of(number) for number in range(500)}) == 500


def test_the_detector_finds_synthetic_people(networks: Path) -> None:
    detector = Detector(networks, DetectorConfig())
    found = [len(detector.detect(np.asarray(draw(person, photo))).boxes) for person in range(25) for photo in range(2)]
    assert sum(count == 1 for count in found) >= 0.94 * len(found)


def test_a_contact_sheet_stays_small() -> None:
    images = [(np.asarray(draw(number % 5, number)), "A very long caption\nthat must be cut " * 200) for number in range(40)]
    assert len(contact_sheet(images)) < 300_000
    assert contact_sheet([])
