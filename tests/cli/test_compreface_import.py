"""An import from CompreFace: every page, hostile lists, and what broke off goes on."""

import json
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from face_assets.cli import compreface_import
from face_assets.cli.compreface_import import import_subjects, reader
from face_assets.core.errors import UnreachableError, UserError

JPEG = b"\xff\xd8\xff"


class Far:
    """A CompreFace with three examples, two on a page."""

    def __init__(self) -> None:
        self.faces = [
            {"image_id": str(UUID(int=number)), "subject": subject} for number, subject in enumerate(("Ann", "ann ", "Zoe\u0308"))
        ]
        self.pictures = dict.fromkeys((face["image_id"] for face in self.faces), JPEG)
        self.read: list[str] = []

    def __call__(self, path: str) -> bytes:
        if path.endswith("/img"):
            self.read.append(path.split("/")[-2])
            return self.pictures[self.read[-1]]
        page = int(path.partition("page=")[2].partition("&")[0])
        found = {"faces": self.faces[2 * page : 2 * page + 2], "total_elements": len(self.faces), "total_pages": (len(self.faces) + 1) // 2}
        return json.dumps(found).encode()


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_subjects_become_folders_and_a_second_import_reads_nothing_again(tmp_path: Path) -> None:
    far, steps = Far(), list[tuple[int, int]]()
    report = import_subjects(far, tmp_path, lambda *step: steps.append(step))
    assert report == {"subjects": 2, "written": 3, "there": 0, "left_out": []}
    assert files(tmp_path) == {f"Ann/{UUID(int=0)}.jpg", f"Ann/{UUID(int=1)}.jpg", f"Zoë/{UUID(int=2)}.jpg"}
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert import_subjects(far, tmp_path, lambda *_: None) == {"subjects": 2, "written": 0, "there": 3, "left_out": []}
    assert len(far.read) == 3


def test_what_cannot_be_imported_is_left_out_with_the_reason(tmp_path: Path) -> None:
    far = Far()
    far.pictures = {str(UUID(int=0)): b"", str(UUID(int=1)): b"<html>"}
    far.faces[2]["subject"] = "../Zoë"
    left_out = import_subjects(far, tmp_path, lambda *_: None)["left_out"]
    assert ["save_images_to_db" in left_out[0], "format" in left_out[1], "no name" in left_out[2]] == [True] * 3
    assert files(tmp_path) == set()
    far.faces[0]["image_id"] = "../../x"
    with pytest.raises(UserError, match="none of CompreFace's"):
        import_subjects(far, tmp_path, lambda *_: None)


def test_an_import_that_breaks_off_goes_on(tmp_path: Path) -> None:
    far = Far()

    def breaking(path: str) -> bytes:
        if str(UUID(int=1)) in path:
            raise UnreachableError("gone")
        return far(path)

    with pytest.raises(UnreachableError):
        import_subjects(breaking, tmp_path, lambda *_: None)
    assert import_subjects(far, tmp_path, lambda *_: None)["there"] == 1


@pytest.mark.parametrize("address", ["", "compreface:8000", "file:///etc/passwd", "http://[", "http://"])
def test_an_address_that_is_none_is_an_error(address: str) -> None:
    with pytest.raises(UserError, match="no address of a CompreFace"):
        reader(address, "key")


def test_a_service_that_does_not_respond_is_an_error(free_ports: Callable[[int], list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compreface_import, "SECONDS", 5.0)
    with pytest.raises(UnreachableError, match="is CompreFace running there"):
        reader(f"http://127.0.0.1:{free_ports(1)[0]}", "key")("/")
    with pytest.raises(UserError, match="printable"):
        reader("http://localhost", "a\nb")
