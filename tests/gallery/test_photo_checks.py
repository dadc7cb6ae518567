"""Checks before somebody is enrolled: the gate's own rules, for the photos of one request."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from face_assets.core.errors import RefusedError
from face_assets.core.settings import remember
from face_assets.detection.faces import Faces
from face_assets.gallery import gate, photo_checks
from face_assets.gallery.people import Photo
from face_assets.gallery.photo_checks import PhotoChecks
from tests.gallery.team import Team, draw, md5_of, photos_of


@pytest.fixture
def team(repository: Path, home: Path, tmp_path: Path) -> Team:
    remember(repo=str(repository))
    return Team(repository, tmp_path / "team", {name: photos_of(name) for name in ("Ann", "Bob", "Cleo")})


def judge(team: Team, monkeypatch: pytest.MonkeyPatch, name: str, *photos: str, meant: bool = False) -> str:
    """The reasons for which the drawn photos are refused; empty where they are not."""

    def see(_: object, photo: Photo) -> photo_checks.Seen:
        facts, crop = draw(photo.label)
        left, _, right, _ = facts["box"]
        return photo_checks.Seen(crop, gate.Quality(facts["probability"], right - left, 0.0 if "blurred" in photo.label else 5.0))

    monkeypatch.setattr(photo_checks._Judge, "_see", see)
    try:
        asked = [Photo(md5_of(photo), b"", photo) for photo in photos]
        PhotoChecks(team.workspace).require_good(team.head(), name, asked, meant)
    except RefusedError as error:
        return str(error)
    return ""


def test_photos_are_judged_against_production(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    assert judge(team, monkeypatch, "Zoë", *photos_of("Zoë")) == ""
    assert judge(team, monkeypatch, "ann", "Ann 7") == ""
    assert "one person from" in judge(team, monkeypatch, "Zoë", "Bob 7", "Bob 8")
    assert "Bob 7 agrees at" in judge(team, monkeypatch, "Ann", "Bob 7"), "the wrong person for an enrolled name"
    assert "Dan 1 agrees at" in judge(team, monkeypatch, "Zoë", "Zoë 1", "Zoë 2", "Dan 1"), "photos of two people"
    poor = judge(team, monkeypatch, "Zoë", "Zoë 1 tiny", "Zoë 2 doubtful", "Zoë 3")
    assert "Zoë 1 tiny: pixels of face 20, gallery.min_face asks for" in poor and "Zoë 2 doubtful: detection probability" in poor
    assert judge(team, monkeypatch, "Zoë", "Bob 7", "Zoë 1 tiny", meant=True) == "", "acknowledged"


def test_photos_without_one_face_are_refused_with_the_reason(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    output = io.BytesIO()
    Image.new("RGB", (120, 120), "grey").save(output, "PNG")
    asked = [Photo("1", output.getvalue(), "grey.png"), Photo("2", b"PK\x03\x04", "zip.jpg"), Photo("3", b"", "empty.jpg")]
    checks = PhotoChecks(team.workspace)
    with pytest.raises(RefusedError, match=r"grey.png: no face found\nzip.jpg: archive, no photo\nempty.jpg: empty file"):
        checks.require_good(team.head(), "Zoë", asked, meant=True)
    with pytest.raises(RefusedError, match="There is no photo"):
        checks.require_good(team.head(), "Zoë", [])

    def detect(_: object, image: np.ndarray, second: float) -> Faces:
        boxes = np.array([[0, 0, 80, 80], [0, 0, second, second]], np.float32)
        return Faces(boxes, np.ones(2, np.float32), np.zeros((2, 5, 2), np.float32))

    for second, reason in ((20, ""), (60, "2 faces found")):
        monkeypatch.setattr("face_assets.detection.mtcnn.Detector.detect", lambda one, image, second=second: detect(one, image, second))
        try:
            checks.require_good(team.head(), "Zoë", asked[:1], meant=True)
            assert not reason
        except RefusedError as error:
            assert reason in str(error)
