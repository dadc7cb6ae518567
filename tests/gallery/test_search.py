"""The gallery's search is exact, for nobody, few and many."""

from pathlib import Path

import numpy as np
import pytest

from face_assets.gallery import search
from face_assets.gallery.enrolment import templates_of, write_gallery
from face_assets.gallery.search import Gallery


def units(count: int, seed: int = 0, size: int = 16) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def gallery_of(templates: np.ndarray) -> Gallery:
    return Gallery([str(number) for number in range(len(templates))], templates)


def test_it_is_exact_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "SCORES_AT_ONCE", 1500)
    gallery = gallery_of(units(500))
    probes = units(64, 1)
    places, scores = gallery.search(probes)
    every = probes @ gallery.templates.T
    assert (places == every.argmax(axis=1)).all()
    assert np.allclose(scores, every.max(axis=1))


@pytest.mark.parametrize("size", [16, 128])
def test_the_scan_in_eight_bits_is_as_exact(size: int) -> None:
    """Also where a hundred thousandth decides: people who all but share a template, in values as small and as large as they come."""
    templates = units(search.SCANNED_FROM, size=size)
    twins = templates[:1000] + 1e-4 * units(1000, 1, size)
    spiky = np.zeros((500, size), np.float32)
    spiky[np.arange(500), np.arange(500) % size] = 1
    spiky += np.float32(1e-3) * units(500, 2, size)
    templates = np.concatenate([templates, twins, spiky, np.zeros((1, size), np.float32)])
    templates /= np.maximum(np.linalg.norm(templates, axis=1, keepdims=True), 1e-12)
    probes = np.concatenate([units(200, 3, size), templates[:200], templates[-300:-1], 3 * units(20, 4, size)])
    places, scores = gallery_of(templates).search(probes)
    exact = probes.astype(np.float64) @ templates.T.astype(np.float64)
    np.testing.assert_allclose(exact[np.arange(len(probes)), places], exact.max(axis=1), rtol=0, atol=1e-6)
    np.testing.assert_allclose(scores, exact.max(axis=1), atol=1e-5)


def test_the_bound_holds_for_whom_the_codes_misjudge_most() -> None:
    """The probe lies where the codes of its nearest template lose most: along what rounding took away."""
    templates = units(search.SCANNED_FROM, size=24)
    gallery = gallery_of(templates)
    scale = np.abs(templates).max(axis=1, keepdims=True) / 127
    lost = templates - np.rint(templates / scale) * scale
    probes = (lost / np.linalg.norm(lost, axis=1, keepdims=True)).astype(np.float32)
    for row, places in enumerate(gallery.codes.candidates(probes[:300])):
        every = templates.astype(np.float64) @ probes[row].astype(np.float64)
        assert int(every.argmax()) in places


def test_what_is_not_finite_is_answered_as_numpy_answers_it() -> None:
    gallery = gallery_of(units(search.SCANNED_FROM))
    probes = np.stack([np.full(16, np.nan, np.float32), units(1, 5)[0]])
    with np.errstate(invalid="ignore"):
        places, scores = gallery.search(probes)
    assert np.isnan(scores[0])
    assert places[1] == (gallery.templates @ probes[1]).argmax()


def test_an_empty_gallery_finds_nobody() -> None:
    places, scores = Gallery([], np.empty((0, 16), np.float32)).search(units(3))
    assert (places == -1).all()
    assert (scores == -1).all()


def test_it_reads_what_was_written(tmp_path: Path) -> None:
    write_gallery(templates_of(units(4), ["Zoë", "Ann", "Zoë", "Bob"]), tmp_path)
    gallery = Gallery.load(tmp_path)
    assert gallery.names == ["Ann", "Bob", "Zoë"]
    assert np.allclose(np.linalg.norm(gallery.templates, axis=1), 1, atol=1e-6)
