"""The gallery's search is exact, for nobody, few and many."""

from pathlib import Path

import numpy as np
import pytest

from face_assets.embedder.gallery import templates_of, write_gallery
from face_assets.vision import search
from face_assets.vision.search import Gallery


def units(count: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, 16)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_it_is_exact_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "SCORES_AT_ONCE", 1500)
    gallery = Gallery([str(number) for number in range(500)], units(500))
    probes = units(64, 1)
    places, scores = gallery.search(probes)
    every = probes @ gallery.templates.T
    assert (places == every.argmax(axis=1)).all()
    assert np.allclose(scores, every.max(axis=1))


def test_an_empty_gallery_finds_nobody() -> None:
    places, scores = Gallery([], np.empty((0, 16), np.float32)).search(units(3))
    assert (places == -1).all()
    assert (scores == -1).all()


def test_it_reads_what_was_written(tmp_path: Path) -> None:
    write_gallery(templates_of(units(4), ["Zoë", "Ann", "Zoë", "Bob"]), tmp_path)
    gallery = Gallery.load(tmp_path)
    assert gallery.names == ["Ann", "Bob", "Zoë"]
    assert np.allclose(np.linalg.norm(gallery.templates, axis=1), 1, atol=1e-6)
