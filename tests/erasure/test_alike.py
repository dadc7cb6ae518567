"""Embeddings like a person's are found in every array, and nobody else's template changes by a bit where the embedder stayed."""

from pathlib import Path

import numpy as np
import pytest

from face_assets.core.settings import load_settings
from face_assets.erasure.alike import VECTORS, keep_vectors, similar_vectors
from face_assets.erasure.traces import Traces
from face_assets.gallery.enrolment import templates_of, write_gallery
from face_assets.registry.workspace import Workspace
from face_assets.storage.content_store import Entry

MD5 = "0" * 32
ZOE = Traces(frozenset({"Zoë"}), frozenset({MD5}))
WIDTH = 64


@pytest.fixture
def faces() -> np.ndarray:
    """Embeddings of six photos of three people: float32 (6, WIDTH), of unit length; each person's two have a cosine over 0.95."""
    noise = np.random.default_rng(1)
    means = np.repeat(noise.normal(size=(3, WIDTH)), 2, axis=0)
    rows = means + 0.05 * noise.normal(size=(6, WIDTH))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_an_embedding_like_the_persons_is_found_in_every_array(home: Path, faces: np.ndarray, tmp_path: Path) -> None:
    workspace, folder = Workspace(load_settings()), home / "erasures" / "person-1"
    workspace.home.embeddings("e").put([Entry(MD5, {}, faces[0].tobytes()), Entry("1" * 32, {}, faces[2].tobytes())])
    keep_vectors(workspace, ZOE, folder)
    places = {"a/rows.npy": faces[1:3], "b/half.npz": faces[1].astype(np.float16), "c/cube.npz": faces.reshape(3, 2, WIDTH)}
    for name, rows in places.items():
        (home / name).parent.mkdir(parents=True)
        np.save(home / name, rows) if name.endswith("npy") else np.savez(home / name, some=rows, names=np.array(["x"]))
    for name, rows in {"d/others.npy": faces[2:], "d/narrow.npy": faces[:, :-1], "d/numbers.npy": np.arange(WIDTH)}.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(home / name, rows)
    (home / "d" / "broken.npz").write_bytes(b"PK\3\4 and no more")
    assert similar_vectors(workspace, folder) == {"embeddings/e.sqlite": 1, "a/rows.npy": 1, "b/half.npz": 1, "c/cube.npz": 2}
    workspace.home.embeddings("e").drop([MD5])
    assert "embeddings/e.sqlite" not in similar_vectors(workspace, folder)
    (folder / VECTORS).unlink()
    assert similar_vectors(workspace, folder) == {}


def test_everybody_elses_templates_are_the_same_to_the_bit_without_the_person(faces: np.ndarray, tmp_path: Path) -> None:
    people = ["Ann", "Ann", "Zoë", "Zoë", "Bob", "Bob"]
    kept = [place for place, name in enumerate(people) if name != "Zoë"]
    for name, rows in {"with": list(range(6)), "without": kept}.items():
        (tmp_path / name).mkdir()
        write_gallery(templates_of(faces[rows], [people[row] for row in rows]), tmp_path / name)
    with np.load(tmp_path / "with" / "gallery.npz") as before, np.load(tmp_path / "without" / "gallery.npz") as after:
        stays = before["names"] != "Zoë"
        assert after["names"].tolist() == ["Ann", "Bob"]
        assert after["templates"].tobytes() == before["templates"][stays].tobytes()
