"""`identify` and `sort` on folders, and boxes drawn on a photo, by a server that knows faces by the photo's name."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from face_assets.cli import recognition, sorting
from face_assets.cli.main import main
from face_assets.core.errors import UserError
from face_assets.dataset.decoding import decode
from face_assets.serving.client import Answer, Face

BOX = np.array([20, 20, 60, 70], np.float32)


class Server:
    """Answers with a face for each letter of the photo's bytes; "a" is enrolled as Ann."""

    def require_ready(self) -> None:
        """It is."""

    def verification_threshold(self) -> float:
        return 0.5

    def identify(self, photo: bytes) -> Answer:
        if photo == b"!":
            raise UserError("photo cannot be used")
        letters = "a" if photo.startswith(b"\x89PNG") else photo.decode().strip("-")
        known = [(letter, letter == "a") for letter in letters]
        return Answer(
            [Face(BOX, 0.99, "Ann" if ann else "", 0.9, ann, np.eye(26, dtype=np.float32)[ord(x) - 97]) for x, ann in known], "v1"
        )


@pytest.fixture
def folder(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(recognition, "connect", Server)
    monkeypatch.setattr(sorting, "connect", Server)
    found = tmp_path / "photos"
    for name, content in {
        "1.jpg": "a",
        "2.jpg": "ab",
        "x/1.jpg": "a",
        "x/3.jpg": "b",
        "4.jpg": "-",
        "5.jpg": "!",
        "notes.txt": "a",
    }.items():
        (found / name).parent.mkdir(parents=True, exist_ok=True)
        (found / name).write_text(content)
    return found


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments])


def test_a_folder_is_sorted_by_people_and_nothing_is_moved(folder: Path, tmp_path: Path) -> None:
    done = run("sort", folder, "--json", "--to", tmp_path / "sorted")
    assert done.exit_code == 1, "one photo cannot be used"
    plan = json.loads(done.stdout)
    assert [(person["folder"], person["name"], len(person["photos"])) for person in plan["people"]] == [
        ("Ann", "Ann", 3),
        ("person 1", None, 2),
    ]
    assert plan["without_face"] == [str(folder / "4.jpg")]
    assert list(plan["errors"]) == [str(folder / "5.jpg")]
    copied = {path.relative_to(tmp_path / "sorted").as_posix(): path.read_text() for path in (tmp_path / "sorted").rglob("*.jpg")}
    assert copied == {"Ann/1.jpg": "a", "Ann/1 2.jpg": "a", "Ann/2.jpg": "ab", "person 1/2.jpg": "ab", "person 1/3.jpg": "b"}
    assert len(list(folder.rglob("*.*"))) == 7
    assert run("sort", folder, "--to", folder).exit_code == 2
    assert "Ann: 3 photos, 3 of them recognized" in run("sort", folder).output


def test_a_folder_is_identified_with_progress(folder: Path) -> None:
    done = run("identify", folder, "--json")
    assert "6 of 6 photos" in done.stderr
    assert [Path(answer["photo"]).name for answer in json.loads(done.stdout)] == ["1.jpg", "2.jpg", "4.jpg", "5.jpg", "1.jpg", "3.jpg"]
    (folder / "empty").mkdir()
    assert "holds no photo" in run("identify", folder / "empty").output


def test_boxes_and_names_are_drawn(folder: Path, tmp_path: Path) -> None:
    Image.new("RGB", (200, 120), "white").save(tmp_path / "photo.png")
    assert run("identify", tmp_path / "photo.png", "--draw", tmp_path / "out.jpg").exit_code == 0
    drawn = decode((tmp_path / "out.jpg").read_bytes())
    assert drawn.shape == (120, 200, 3)
    assert drawn[40, 20].tolist() != [255, 255, 255], "the box"
    assert (drawn[75:85, 25:60] < 100).any(), "the name below it"
    assert run("identify", folder, "--draw", tmp_path / "out.jpg").exit_code == 2
