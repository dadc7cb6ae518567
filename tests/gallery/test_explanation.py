"""An explanation adds up: the photos of a person carry the score, and lead back to md5, crop, commit and release."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from face_assets.cli.explanation import explanation_text
from face_assets.core.errors import UserError
from face_assets.core.settings import load_settings, remember
from face_assets.embedding.engine import Engine
from face_assets.gallery.explanation import Explainer
from face_assets.web.app import create_app
from tests.gallery.team import Team, draw, md5_of, photos_of

PHOTO = "Ann 7"


@pytest.fixture
def team(repository: Path, home: Path, networks: Path, tmp_path: Path) -> Team:
    remember(repo=str(repository))
    shutil.copytree(networks, home / "detector")
    people = {name: photos_of(name) for name in ("Ann", "Bob", "Cleo")}
    return Team(repository, tmp_path / "team", {**people, "Ann": [*people["Ann"], "Cleo 9"]})


@pytest.fixture
def embedding(team: Team) -> np.ndarray:
    found: np.ndarray = Engine(team.exported.directory / "embedder.xml", "bf16", 1).embed(draw(PHOTO)[1][None])[0]
    return found


def test_the_photos_of_a_person_carry_the_score(team: Team, embedding: np.ndarray) -> None:
    explainer = Explainer(team.workspace, "v1.0.0")
    first, second = explainer.nearest(embedding, 2)
    assert (first.name, first.note) == ("Ann", "")
    assert first.score > second.score
    assert first.photos is not None and second.photos is not None
    for person in (first, second):
        assert sum(photo.share for photo in person.photos or ()) == pytest.approx(person.score, abs=2e-3)
    assert [photo.path for photo in first.photos][-1] == "Ann/Cleo 9.jpg", "the photo of somebody else carries least"
    best = first.photos[0]
    assert (best.md5, best.crop, best.probability) == (md5_of(best.path[4:-4]), best.md5, 0.999)
    assert best.cosine > first.photos[-1].cosine + 0.1
    origin = explainer.origin()
    assert (origin.release, origin.commit, origin.source) == ("v1.0.0", team.base, "gallery.dvc")
    assert (origin.dataset_version, origin.tag) == ("d1.dir", "face-recognizer@v1.0.0")


def test_without_the_gallery_the_scores_are_there_and_the_cure_is_named(team: Team, embedding: np.ndarray) -> None:
    shutil.rmtree(team.workspace.home.artifacts.root / "face_gallery")
    first, _ = Explainer(team.workspace, "v1.0.0").nearest(embedding, 2)
    assert (first.name, first.photos) == ("Ann", None)
    assert f"face-assets run --commit {team.base[:12]}" in first.note
    with pytest.raises(UserError, match=r"v7\.0\.0"):
        Explainer(team.workspace, "v7.0.0")


class OneFace:
    """A recognizer that finds one face."""

    def __init__(self, embedding: np.ndarray):
        self.embedding = embedding

    async def identify(self, _: object) -> dict[str, Any]:
        """One accepted face."""
        return {
            **{"BOXES": np.array([[1.0, 2, 30, 40]]), "PROBABILITIES": np.array([0.99]), "EMBEDDINGS": self.embedding[None]},
            **{"IDENTITY": np.array([b"Ann"]), "SCORE": np.array([0.9]), "ACCEPTED": np.array([True]), "RELEASE": np.array([b"v1.0.0"])},
        }

    async def close(self) -> None:
        """Nothing is open."""


def test_the_service_and_the_text_explain(team: Team, embedding: np.ndarray) -> None:
    app = create_app(load_settings(), OneFace(embedding))  # type: ignore[arg-type]
    explainer = Explainer(team.workspace, "v1.0.0")
    files = SimpleNamespace(
        release="v1.0.0",
        identification_threshold=explainer.threshold,
        nearest=lambda *_: [],
        rate=lambda _: None,
        gallery=explainer.gallery,
    )
    app.state.folders = SimpleNamespace(read=lambda _: files)
    with TestClient(app, "http://localhost:8004") as client:
        found = client.post("/api/v1/explain?k=2", files={"photo": ("a.jpg", b"\xff\xd8\xff", "image/jpeg")})
        assert found.status_code == 200, found.text
        assert client.post("/api/v1/explain?k=11", content=b"\xff\xd8\xff").status_code == 422
    answer = found.json()
    (face,) = answer["faces"]
    assert face["nearest"][0]["name"] == "Ann"
    assert sum(photo["share"] for photo in face["nearest"][0]["photos"]) == pytest.approx(face["nearest"][0]["score"], abs=2e-3)
    assert (answer["origin"]["commit"], answer["threshold"]) == (team.base, explainer.threshold)
    about = {"probability": 0.99, "quality": None, "nearest": face["nearest"], "above_threshold": 0.2, "ahead_of_next": 0.4}
    text = explanation_text({"photo": "a.jpg", "text": "Ann", "threshold": 0.5, "faces": [about], "origin": answer["origin"]})
    assert "0.200 above the threshold 0.500, 0.400 ahead of the next person" in text
    assert f"at commit {team.base}" in text and f"md5 {md5_of('Ann 0')}" in text
