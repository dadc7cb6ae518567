"""The index of a large gallery: its recall is measured, and where it cannot be used the search is exact."""

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from face_assets.core.params import Search
from face_assets.gallery.enrolment import Enrolled, templates_of, write_gallery
from face_assets.gallery.index_building import write_index
from face_assets.gallery.search import Gallery
from face_assets.gallery.template_index import FACTS, FORMAT, INDEX, sha256_of

PEOPLE, SIZE, THRESHOLD = 1500, 24, 0.6
ASKED = Search(index_from=PEOPLE, recall=0.98)


def near(rows: np.ndarray, seed: int) -> np.ndarray:
    found = rows + 0.1 * np.random.default_rng(seed).standard_normal(rows.shape).astype(np.float32)
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


CENTRES = np.random.default_rng(0).standard_normal((2 * PEOPLE, SIZE)).astype(np.float32)
CENTRES /= np.linalg.norm(CENTRES, axis=1, keepdims=True)
NAMES = [f"person {number:04}" for number in range(2 * PEOPLE)]
PROBES = near(CENTRES[::3], 1)  # half of them of strangers


def enrolled_people(count: int = PEOPLE) -> Enrolled:
    return templates_of(CENTRES[:count], NAMES[:count])


def written(folder: Path, enrolled: Enrolled, asked: Search = ASKED) -> dict:
    folder.mkdir(exist_ok=True)
    write_gallery(enrolled, folder)
    return write_index(enrolled, PROBES, NAMES[::3], THRESHOLD, asked, folder, lambda line: None)


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gallery") / "indexed"
    written(folder, enrolled_people())
    return folder


def test_the_stated_recall_is_that_of_other_people_against_the_exact_search(tmp_path: Path) -> None:
    facts = written(tmp_path, enrolled_people())
    found, exact = Gallery.load(tmp_path), enrolled_people().templates
    assert found.index and facts["people"] == PEOPLE and facts["searched_lists"] < facts["lists"], "not all is searched"
    places, scores = found.search(PROBES)
    every = PROBES @ exact.T
    same, finds = places == every.argmax(axis=1), every.max(axis=1) >= THRESHOLD
    recall = facts["recall"]
    assert recall["low"] <= same[finds].mean() <= recall["high"]
    assert 0 < recall["searches"] < finds.sum(), "measured by people who did not choose the number of lists"
    assert same[finds].mean() > 0.97
    assert np.allclose(scores, (exact[places] * PROBES).sum(axis=1), atol=1e-6), "scores are exact"
    assert (scores <= every.max(axis=1) + 1e-6).all(), "nobody is found who is not found by an exact search"
    assert found.names[7] == NAMES[7] and list(found.names[:2]) == NAMES[:2]
    assert (tmp_path / INDEX).stat().st_mode & 0o077 == 0


def test_below_its_number_of_people_and_without_a_photo_to_measure_by_a_gallery_has_no_index(tmp_path: Path) -> None:
    assert written(tmp_path, enrolled_people(PEOPLE - 1)) == {}
    assert written(tmp_path, enrolled_people(), Search(index_from=0)) == {}
    assert write_index(enrolled_people(), PROBES[:0], [], THRESHOLD, ASKED, tmp_path, print) == {}
    assert {file.name for file in tmp_path.iterdir()} == {"gallery.npz"}
    assert Gallery.load(tmp_path).index is None


@pytest.mark.parametrize("people", [1, 3])
def test_fewer_people_than_are_proposed_for_a_face(tmp_path: Path, people: int) -> None:
    written(tmp_path, enrolled_people(people), Search(index_from=1, recall=1.0))
    found = Gallery.load(tmp_path)
    assert found.index
    places, _ = found.search(PROBES)
    assert (places == (PROBES @ enrolled_people(people).templates.T).argmax(axis=1)).all()


def test_what_is_not_finite_is_answered_as_numpy_answers_it(indexed: Path) -> None:
    places, scores = Gallery.load(indexed).search(np.stack([np.full(SIZE, np.nan, np.float32), PROBES[0]]))
    assert np.isnan(scores[0]) and places[1] == (enrolled_people().templates @ PROBES[0]).argmax()


def changed_facts(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        facts = json.loads((folder / FACTS).read_text())
        (folder / FACTS).write_text(json.dumps(facts | changes))

    return change


def flip(folder: Path) -> None:
    content = bytearray((folder / INDEX).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / INDEX).write_bytes(content)


def unreadable(folder: Path) -> None:
    """A whole file, by its digest, that another version of the library wrote."""
    content = b"IxZZ" + (folder / INDEX).read_bytes()[4:]
    (folder / INDEX).write_bytes(content)
    changed_facts(sha256=sha256_of(folder / INDEX))(folder)


def other_people(folder: Path) -> None:
    write_gallery(enrolled_people(PEOPLE - 1), folder)


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a bit": (flip, "damaged"),
    "cut off": (lambda folder: (folder / INDEX).write_bytes((folder / INDEX).read_bytes()[:-9]), "damaged"),
    "gone": (lambda folder: (folder / INDEX).unlink(), "missing"),
    "facts cut off": (lambda folder: (folder / FACTS).write_text('{"format": '), "index.json is damaged"),
    "facts of another kind": (lambda folder: (folder / FACTS).write_text("[1]"), "index.json is damaged"),
    "no lists": (changed_facts(searched_lists=0), "0 of"),
    "a later format": (changed_facts(format=FORMAT + 1), f"has format {FORMAT + 1}"),
    "of another library": (unreadable, "does not read"),
    "of other people": (other_people, "is of 1,500 people"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_index_that_cannot_be_used_is_named_and_the_search_is_exact(
    fault: str, indexed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for file in indexed.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    spoil, sentence = FAULTS[fault]
    spoil(tmp_path)
    with caplog.at_level(logging.WARNING):
        found = Gallery.load(tmp_path)
    assert found.index is None and sentence in caplog.text
    places, _ = found.search(PROBES)
    assert (places == (PROBES @ np.asarray(found.templates).T).argmax(axis=1)).all()


def test_without_the_library_the_search_is_exact(indexed: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with caplog.at_level(logging.WARNING):
        assert Gallery.load(indexed).index is None
    assert "faiss is not installed" in caplog.text


def test_an_empty_gallery_with_an_index_of_others_finds_nobody(indexed: Path, tmp_path: Path) -> None:
    for file in indexed.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    write_gallery(Enrolled([], np.empty((0, SIZE), np.float32), np.empty(0, np.int64), np.empty((0, SIZE), np.float32)), tmp_path)
    places, _ = Gallery.load(tmp_path).search(PROBES)
    assert (places == -1).all()
