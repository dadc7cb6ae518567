"""Enrolment of many: in parts, with the results of enrolling and searching all at once."""

import hashlib
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from face_assets.core.rows import Rows
from face_assets.detection.steps import Face
from face_assets.gallery import enrolment, probes
from face_assets.gallery.enrolment import Enrolled, enrolled_from, identification_figures, stranger_scores, templates_of, write_gallery

PEOPLE, PHOTOS, SIZE = 40, 5, 16


def units(count: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, SIZE)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


VECTORS = units(PEOPLE * PHOTOS)
# people in no order, each with photos in several places, as spellings of a name in two folders have it
FACES = [
    Face(f"{row}.jpg", hashlib.md5(b"%d" % row).hexdigest(), f"person {row * 7 % PEOPLE}", "test", str(row)) for row in range(len(VECTORS))
]
IDENTITIES = [face.identity for face in FACES]


def in_columns(faces: Sequence[Face]) -> Rows[Face]:
    fields = ("path", "md5", "identity", "split", "crop_key")
    return Rows.of(Face, fields, ([getattr(face, field) for field in fields] for face in faces), repeated=("identity", "split"))


def vectors_of(keys: Sequence[str]) -> np.ndarray:
    return VECTORS[[int(key) for key in keys]]


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrolment, "FACES_AT_ONCE", 12)
    monkeypatch.setattr(enrolment, "PEOPLE_AT_ONCE", 10)
    monkeypatch.setattr(enrolment, "PART", 7)


@pytest.mark.usefixtures("in_parts")
def test_enrolling_person_by_person_gives_the_same_bits(tmp_path: Path) -> None:
    found, expected = enrolled_from(in_columns(FACES), vectors_of, tmp_path), templates_of(VECTORS, IDENTITIES)
    assert found.names == expected.names
    for field in ("templates", "sums", "counts"):
        ours, theirs = getattr(found, field), getattr(expected, field)
        assert np.array_equal(ours, theirs) and ours.dtype == theirs.dtype
    assert not any(tmp_path.iterdir()), "the sums leave no file"


@pytest.mark.usefixtures("in_parts")
def test_a_gallery_that_is_searched_in_parts_gives_the_figures_of_search_by_search() -> None:
    enrolled = templates_of(VECTORS[::2], IDENTITIES[::2])
    probes_, names = np.concatenate([VECTORS[:90], VECTORS[:1], units(9, 1)]), [*IDENTITIES[:90], "twin", *["stranger"] * 9]
    inside = [row % 2 == 0 and row < 90 for row in range(100)]
    thresholds = np.full(100, 0.4)
    thresholds[90] = float(enrolled.templates[enrolled.names.index(IDENTITIES[0])] @ VECTORS[0])  # a score that is the threshold
    assert identification_figures(enrolled, probes_, names, inside, thresholds) == one_by_one(enrolled, probes_, names, inside, thresholds)
    every = probes_ @ enrolled.templates.T
    for row, name in enumerate(names):
        if name in enrolled.names:
            every[row, enrolled.names.index(name)] = enrolment.NOBODY
    assert np.allclose(stranger_scores(enrolled, probes_, names), every.max(axis=1), atol=1e-6)


def one_by_one(
    enrolled: Enrolled, vectors: np.ndarray, names: Sequence[str], inside: Sequence[bool], thresholds: np.ndarray
) -> dict[str, int]:
    """The counts by a product for each probe."""
    counts = dict.fromkeys(("enrolled", "enrolled_people", "right", "wrong", "refused", "strangers", "strangers_accepted"), 0)
    searched = set()
    for vector, name, is_inside, threshold in zip(vectors, names, inside, thresholds, strict=True):
        scores = enrolled.templates @ vector
        row = enrolled.names.index(name) if name in enrolled.names else None
        if row is not None and is_inside:
            scores[row] = enrolment._without(enrolled, row, vector)
        best = int(scores.argmax())
        if row is not None and scores[row] > enrolment.NOBODY:
            searched.add(name)
            counts["enrolled"] += 1
            counts["refused" if scores[best] < threshold else "right" if best == row else "wrong"] += 1
        else:
            counts["strangers"] += 1
            counts["strangers_accepted"] += int(scores[best] >= threshold)
    return counts | {"enrolled_people": len(searched)}


def test_photos_are_searched_up_to_a_number_of_comparisons_and_by_whole_people_beyond(monkeypatch: pytest.MonkeyPatch) -> None:
    assert probes.probes_of(in_columns(FACES), PEOPLE).faces == FACES
    assert probes.probes_of(in_columns(FACES), PEOPLE).notes() == {}
    monkeypatch.setattr(probes, "FEWEST", 20)
    monkeypatch.setattr(probes, "MOST_COMPARISONS", 10)
    drawn = probes.probes_of(in_columns(FACES), PEOPLE)
    people = {face.identity for face in drawn.faces}
    assert drawn.faces == [face for face in FACES if face.identity in people]
    assert drawn.notes() == {"searched_photos": 20, "searched_photos_of": len(FACES)}
    assert drawn.are_among(FACES[::2]) == [face in FACES[::2] for face in drawn.faces]


def test_a_gallery_is_written_as_an_archive_of_whole_members(tmp_path: Path) -> None:
    """The bytes of earlier versions, which wrote each member from memory."""
    enrolled = templates_of(VECTORS, IDENTITIES)
    write_gallery(enrolled, tmp_path)
    expected = io.BytesIO()
    with zipfile.ZipFile(expected, "w", zipfile.ZIP_STORED) as archive:
        for name, array in (("templates", enrolled.templates), ("names", np.array(enrolled.names)), ("counts", enrolled.counts)):
            member = io.BytesIO()
            np.lib.format.write_array(member, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", enrolment.THEN), member.getvalue())
    assert (tmp_path / "gallery.npz").read_bytes() == expected.getvalue()
