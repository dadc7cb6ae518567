"""Two machines that share a store: the second makes nothing again that the first made, and of a new commit what is new alone."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from face_assets.core import inference
from face_assets.core.settings import remember
from face_assets.dataset import inspection
from face_assets.dataset.repository_creation import commit_photos, create_repository
from face_assets.demo.synthetic import write_people
from face_assets.detection import alignment
from tests.release.test_steps import Made

PARAMS = """
split: {validation: 0.1, test: 0.5, min_test_people: 2}
detector: {image_size: 80, margin: 16, align: upright}
embedder: {weights: scratch, embedding_size: 32}
train: {unfreeze: all, epochs: 0, batch_size: 16, embedding_regularization: 0.0, scale: 16.0}
evaluation: {far: 0.05, fpir: 0.1, min_auc: 0.0, min_accuracy: 0.0, max_regression: 1.0, stress: {conditions: {}}}
gallery: {action: report}
"""

pytestmark = pytest.mark.slow


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> "Counter[str]":
    """The number of photos inspected and searched for faces, and of images embedded."""
    done: Counter[str] = Counter()

    def count(module: Any, name: str, what: str, size: Callable[..., int]) -> None:
        before = getattr(module, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            done[what] += size(*args)
            return before(*args, **kwargs)

        monkeypatch.setattr(module, name, counted)

    count(inspection, "inspect", "inspected", lambda *_: 1)
    count(alignment, "_align", "detected", lambda *given: len(given[-1]))
    count(inference.Batches, "infer", "embedded", lambda self, images, *_: len(images))
    return done


def test_the_second_machine_makes_nothing_that_the_first_made(
    tmp_path: Path, home: Path, networks: Path, work: "Counter[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    write_people(tmp_path / "photos", 8, 4)
    create_repository(tmp_path / "data", tmp_path / "photos", PARAMS, None, None)
    (tmp_path / "store").mkdir()
    monkeypatch.setenv("FACE_ASSETS_STORE", str(tmp_path / "store"))

    def made(name: str) -> Made:
        monkeypatch.setenv("FACE_ASSETS_HOME", str(tmp_path / name))
        if not (tmp_path / name).is_dir():
            (tmp_path / name).mkdir()
            (tmp_path / name / "detector").symlink_to(networks)
            remember(repo=str(tmp_path / "data"))
        work.clear()
        return Made(late=True)

    first = made("a")
    assert (work["inspected"], work["detected"]) == (32, 32)
    embedded = work["embedded"]
    second = made("b")
    assert not work, "the second machine made something again"
    assert second.evaluation == first.evaluation
    for one in (second, first, second):
        one.register()
        assert (one.release["release"], one.release["production"]) == ("v1.0.0", True)
    write_people(tmp_path / "more", 9, 4)
    newcomer = sorted((tmp_path / "more").iterdir())[-1]
    (tmp_path / "new").mkdir()
    newcomer.rename(tmp_path / "new" / newcomer.name)
    commit_photos(tmp_path / "data", tmp_path / "new", "Add a person")
    made("b")
    assert (work["inspected"], work["detected"]) == (4, 4)
    assert 0 < work["embedded"] < embedded / 4, "the newcomer alone"
    for file in (tmp_path / "store").rglob("*"):
        assert not file.is_file() or str(tmp_path).encode() not in file.read_bytes(), f"{file} holds an absolute path"
