"""Large files that several folders have take their space once, and no edit of one reaches another's."""

import errno
import os
from pathlib import Path

import pytest

from face_assets.storage.artifacts import ArtifactStore
from face_assets.storage.linked_files import LEAST, LinkedFiles

WEIGHTS = bytes(range(256)) * (LEAST // 256)


def inodes(*files: Path) -> set[int]:
    return {file.stat().st_ino for file in files}


def make(store: ArtifactStore, name: str, content: bytes) -> Path:
    def fill(folder: Path) -> dict[str, str]:
        (folder / "trunk").write_bytes(content)
        (folder / "head").write_bytes(name.encode())
        return {}

    return store.make("kind", name, fill).directory


def test_artifacts_with_an_equal_large_file_share_it(tmp_path: Path) -> None:
    shared = LinkedFiles(tmp_path / "shared")
    store = ArtifactStore(tmp_path / "artifacts", linked=shared)
    one, two = make(store, "one", WEIGHTS), make(store, "two", WEIGHTS)
    other, small = make(store, "three", WEIGHTS + b"!"), make(store, "four", WEIGHTS[:-1])
    assert len(inodes(one / "trunk", two / "trunk")) == 1
    assert len(inodes(*(folder / "trunk" for folder in (one, other, small)))) == 3
    assert (two / "head").read_bytes() == b"two"
    for folder in (one, two):
        (folder / "trunk").unlink()
    shared.sweep()
    assert inodes(*(tmp_path / "shared").iterdir()) == inodes(other / "trunk")


def test_what_was_changed_in_place_is_linked_to_nothing_new(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "artifacts", linked=LinkedFiles(tmp_path / "shared"))
    one = make(store, "one", WEIGHTS)
    (one / "trunk").write_bytes(b"damaged" + WEIGHTS)
    two, three = make(store, "two", WEIGHTS), make(store, "three", WEIGHTS)
    assert (two / "trunk").read_bytes() == WEIGHTS
    assert len(inodes(two / "trunk", three / "trunk")) == 1


def test_a_file_system_without_links_keeps_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    store = ArtifactStore(tmp_path / "artifacts", linked=LinkedFiles(tmp_path / "shared"))
    assert all((make(store, name, WEIGHTS) / "trunk").read_bytes() == WEIGHTS for name in ("one", "two"))
