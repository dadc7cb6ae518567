"""People over HTTP: what is enrolled is shown, each change is a commit, and what is refused says why and changes nothing."""

import base64
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from face_assets.core.errors import RefusedError, UserError
from face_assets.core.settings import load_settings, remember
from face_assets.event_log import commit_progress
from face_assets.event_log.commit_progress import CommitProgress
from face_assets.gallery.people_changes import RemovePerson
from face_assets.gallery.people_commits import Outcome, Request
from face_assets.gallery.photo_checks import PhotoChecks
from face_assets.registry.git import git
from face_assets.registry.person import PLATFORM
from face_assets.web.app import create_app
from face_assets.web.people_service import PeopleWriter
from face_assets.web.problems import WebError
from face_assets.web.recognizer import Recognizer
from tests.web.service import endpoint_of_nobody

JPEG = b"\xff\xd8\xff"


@pytest.fixture
def client(home: Path, bare: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    def require_good(_: object, commit: str, name: str, photos: Sequence[object], meant: bool) -> None:
        if name == "Poor" and not meant:
            raise RefusedError("photo 1: no face found", "photo 2: empty file")

    monkeypatch.setattr(PhotoChecks, "require_good", require_good)
    remember(repo=str(bare))
    with TestClient(create_app(load_settings(), Recognizer(endpoint_of_nobody)), "http://localhost:8004") as made:
        yield made


def subject(bare: Path) -> str:
    return git("log", "-1", "--format=%s", "main", cwd=bare).decode().strip()


def test_people_are_enrolled_shown_changed_and_removed(client: TestClient, bare: Path) -> None:
    before = client.get("/api/v1/people").json()
    assert before["total"] == len(before["people"]) > 1
    made = client.post("/api/v1/people?name=Zoe%CC%88", files=[("photo", JPEG + b"1"), ("photo", JPEG + b"2")])
    assert made.status_code == 202
    assert made.json()["change"] == subject(bare) == "Enrol Zoë: 2 photos"
    assert made.headers["location"] == made.json()["follow"] == f"/api/v1/commits/{made.json()['commit']}"
    assert client.get(made.json()["follow"]).json() == {"commit": made.json()["commit"], "state": "waiting", "reason": ""}
    listed = client.get("/api/v1/people?q=zOë&limit=1").json()
    assert (listed["people"], listed["commit"]) == ([{"name": "Zoë", "photos": 2}], made.json()["commit"])
    assert listed["total"] == 2, "with Zoë Müller, on the next page"
    found = client.get("/api/v1/people/zoë").json()
    content = {client.get(f"/api/v1/people/Zoë/photos/{photo['id']}").content for photo in found["photos"]}
    assert content == {JPEG + b"1", JPEG + b"2"}
    shown = client.get(f"/api/v1/people/Zoë/photos/{found['photos'][0]['id']}")
    assert (shown.headers["content-type"], shown.headers["cache-control"]) == ("image/jpeg", "no-store")

    more = client.post("/api/v1/people/Zoë/photos", json={"photo": base64.b64encode(JPEG + b"3").decode()})
    assert more.json()["change"] == "Add 1 photo of Zoë"
    assert client.put("/api/v1/people/Zoë", json={"name": "Yan"}).json()["change"] == subject(bare) == "Rename Zoë to Yan"
    assert client.delete(f"/api/v1/people/Yan/photos/{found['photos'][0]['id']}").json()["change"] == "Remove a photo of Yan"
    other = before["people"][0]["name"]
    assert client.put("/api/v1/people/Yan", json={"merge_into": other}).json()["change"] == f"Merge Yan into {other}"
    assert client.delete(f"/api/v1/people/{other}").json()["change"] == subject(bare) == f"Remove {other}"
    assert client.get("/api/v1/people").json()["total"] == before["total"] - 1


def test_what_is_refused_says_why_and_changes_nothing(client: TestClient, bare: Path) -> None:
    head = subject(bare)
    name = client.get("/api/v1/people").json()["people"][0]["name"]
    photo = {"photo": base64.b64encode(JPEG).decode()}
    md5 = "f" * 32
    for method, path, body, status, code in (
        ("POST", "/api/v1/people?name=Poor", photo, 422, "refused"),
        ("POST", f"/api/v1/people?name={name}", photo, 409, "conflict"),
        ("POST", "/api/v1/people?name=a%2Fb", photo, 422, "refused"),
        ("POST", "/api/v1/people?name=a%0Ab", photo, 422, "refused"),
        ("POST", f"/api/v1/people?name={'x' * 300}", photo, 422, "refused"),
        ("POST", "/api/v1/people", photo, 422, "invalid"),
        ("POST", "/api/v1/people?name=Zoë", {}, 400, "no_photo"),
        ("POST", "/api/v1/people/Zoë/photos", photo, 404, "not_enrolled"),
        ("PUT", f"/api/v1/people/{name}", {}, 422, "invalid"),
        ("PUT", "/api/v1/people/Zoë", {"name": "Yan"}, 404, "not_enrolled"),
        ("DELETE", "/api/v1/people/Zoë", None, 404, "not_enrolled"),
        ("DELETE", f"/api/v1/people/{name}/photos/{md5}", None, 404, "not_enrolled"),
        ("DELETE", f"/api/v1/people/{name}/photos/..%2F..", None, 404, "not_found"),
        ("GET", f"/api/v1/people/{name}/photos/{md5}", None, 404, "not_enrolled"),
        ("GET", "/api/v1/people/Zoë", None, 404, "not_enrolled"),
        ("GET", "/api/v1/commits/main", None, 422, "invalid"),
    ):
        found = client.request(method, path, json=body)
        assert (found.status_code, found.json()["code"]) == (status, code), (path, found.text)
        assert set(found.json()) == {"error", "code"}
    refused = client.post("/api/v1/people?name=Poor", json=photo).json()["error"]
    assert "no face found" in refused and "empty file" in refused
    assert client.post("/api/v1/people?name=Zoë", json=photo, headers={"origin": "https://evil.example.org"}).status_code == 403
    assert subject(bare) == head
    assert client.post("/api/v1/people?name=Poor&acknowledge=true", json=photo).status_code == 202


def test_who_waits_gets_the_state_in_which_it_ended(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    states = iter([CommitProgress("waiting"), CommitProgress("running", "1"), CommitProgress("refused", "1", "a face has two names")])
    monkeypatch.setattr(commit_progress, "wait_for_commit", lambda *_: next(states))
    monkeypatch.setattr("face_assets.web.people.SECONDS_BETWEEN_LOOKS", 0)
    found = client.post("/api/v1/people?name=Zoë&wait=true", content=JPEG, headers={"content-type": "image/jpeg"})
    assert (found.status_code, found.json()["state"], found.json()["reason"]) == (200, "refused", "a face has two names")


def test_changes_that_come_while_a_commit_is_written_are_one_commit() -> None:
    began, may_end, batches = threading.Event(), threading.Event(), []

    def write(requests: Sequence[Request]) -> list[Outcome]:
        batches.append(len(requests))
        began.set()
        assert may_end.wait(60)
        if len(requests) == 3:
            raise UserError("The data repository cannot be read.")
        return [Outcome(line=request.change.name) for request in requests]  # type: ignore[attr-defined]

    writer = PeopleWriter(write, gather=0.0)
    first = writer.submit(RemovePerson("0"), PLATFORM)
    assert began.wait(60)
    others = [writer.submit(RemovePerson(str(number)), PLATFORM) for number in (1, 2, 3)]
    may_end.set()
    assert first.result(60).line == "0"
    for other in others:
        with pytest.raises(UserError, match="cannot be read"):
            other.result(60)
    assert writer.submit(RemovePerson("4"), PLATFORM).result(60).line == "4", "an error does not end the writer"
    writer.close()
    assert batches == [1, 3, 1]


def test_too_many_waiting_changes_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("face_assets.web.people_service.MOST_WAITING", 2)
    may_end = threading.Event()

    def write(requests: Sequence[Request]) -> list[Outcome]:
        assert may_end.wait(60)
        return [Outcome() for _ in requests]

    writer = PeopleWriter(write, gather=0.0)
    with pytest.raises(WebError, match="Too many changes"):
        for _ in range(100):
            writer.submit(RemovePerson("Ann"), PLATFORM)
    may_end.set()
    writer.close()
