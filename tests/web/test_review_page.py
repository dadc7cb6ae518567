"""The page Review in a browser: a key decides, the next case is there at once, and a restart or another reviewer loses nothing."""

import time
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import expect

from face_assets.audit.findings import Finding
from face_assets.core.errors import UnreachableError
from face_assets.core.settings import load_settings, remember
from face_assets.event_log import commit_progress
from face_assets.event_log.commit_progress import CommitProgress
from face_assets.monitoring.feedback import Feedback, write_feedback
from face_assets.registry import folder_commit
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.git import git
from face_assets.registry.workspace import Workspace
from face_assets.web.app import create_app
from face_assets.web.people_service import PeopleService
from face_assets.web.recognizer import Recognizer
from tests.review.made_audit import store_audit
from tests.web.browser import Site, browser, open_page
from tests.web.service import TOKEN, endpoint_of_nobody
from tests.web.test_people_pages import HOSTILE


@pytest.fixture
def client(repository: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    monkeypatch.setattr(commit_progress, "wait_for_commit", lambda *_: CommitProgress("live", "1"))
    remember(repo=str(repository))
    workspace = Workspace(load_settings())
    workspace.repository.refresh()
    findings = [
        Finding("Ann/0 a.jpg", "Ann", "wrong_person", f"shows {HOSTILE}", "Bob", 0.1, 0.8),
        Finding("Ann/1 a.jpg", "Ann", "wrong_person", "shows Bob", "Bob", 0.1, 0.8),
        Finding("Zoë Müller", "Zoë Müller", "two_names", "looks like the same person as Bob", "Bob", 0.7, 0.8),
    ]
    store_audit(workspace, workspace.repository.resolve("main"), findings, {"Bob/1 a.jpg": "no_face"})
    write_feedback(repository, Feedback("Bob", HOSTILE, "v1.0.0", time.time()))
    return TestClient(create_app(load_settings(), Recognizer(endpoint_of_nobody), token=TOKEN), "http://localhost:8004")


def test_cases_are_decided_by_keys_and_committed_at_once(
    client: TestClient, repository: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with site(client.app) as address, browser() as chromium:  # type: ignore[arg-type]
        page, errors = open_page(chromium, address)
        page.goto("/review")
        title = page.locator(".case:visible h2")
        expect(title).to_have_text("Ann: shows somebody else")
        expect(page.locator(".case:visible p").first).to_contain_text(HOSTILE)
        page.keyboard.press("b")
        page.keyboard.press("r")
        expect(title).to_have_text("Zoë Müller: two names of one person")
        expect(title).to_be_focused()
        expect(page.get_by_role("button", name="W Wrong")).to_be_disabled()
        page.keyboard.press("u")
        expect(title).to_have_text("Ann: shows somebody else")
        page.keyboard.press("r")
        page.keyboard.press("s")
        expect(title).to_have_text("Bob: an answer that was called wrong")
        page.keyboard.press("w")
        expect(title).to_have_text("Bob: no face found")
        page.keyboard.press("p")
        page.keyboard.type("Bo")
        page.keyboard.press("Escape")
        page.keyboard.press("b")
        expect(page.get_by_role("alert")).to_have_count(0)
        expect(page.locator("#decided")).to_have_text("5")
        other, _ = open_page(chromium, address)  # after the decisions, as after a restart
        other.goto("/review")
        expect(other.locator("#decided")).to_have_text("5")
        other.locator("summary").click()
        other.get_by_role("row", name="left out").get_by_role("button").click()
        expect(other.locator("#decided")).to_have_text("4")
        expect(other.locator(".case:visible h2")).to_have_text("Bob: an answer that was called wrong")
        other.keyboard.press("r")
        expect(other.locator("#decided")).to_have_text("5")
        with monkeypatch.context() as patched:
            patched.setattr(folder_commit, "_upload", unreachable)
            page.get_by_role("button", name="Commit").click()
            expect(page.get_by_role("alert")).to_contain_text("could not be written")
        page.get_by_role("button", name="Commit").click()
        expect(page.get_by_role("status")).to_contain_text("is live")
        expect(page.locator("#decided")).to_have_text("0")
        assert errors == []
    subjects = git("log", "--format=%s", "-2", "main", cwd=repository).decode().splitlines()
    assert subjects[0].startswith("Review 5 cases") and not subjects[1].startswith("Review")


def unreachable(*_: object) -> None:
    raise UnreachableError("The photos could not be written to the DVC remote.")


def test_another_reviewers_decision_is_not_overwritten(client: TestClient) -> None:
    case = client.get("/review").text.partition('data-case="')[2].partition('"')[0]
    first = client.post("/review-decide", json={"case": case, "verdict": "wrong"})
    assert first.json()["words"] == "left out" and first.json()["decided"] == 1
    second = client.post("/review-decide", json={"case": case, "verdict": "right"})
    assert (second.status_code, second.json()["code"]) == (409, "conflict")
    assert "decided this meanwhile: left out" in second.json()["error"]
    assert client.post("/review-undo", json={"case": case, "seen": "other"}).status_code == 409
    assert client.post("/review-undo", json={"case": case, "seen": first.json()["token"]}).json()["decided"] == 0


def test_what_is_wrong_is_said_and_other_pages_decide_nothing(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    text = client.get("/review").text
    assert "<script>alert" not in text and "&lt;script&gt;alert" in text
    case = text.partition('data-case="')[2].partition('"')[0]
    for body, status in (
        ({"case": case, "verdict": "belongs", "to": "a/b"}, 422),
        ({"case": case, "verdict": "belongs", "to": "x" * 300}, 422),
        ({"case": case, "verdict": "same", "to": "Nobody"}, 404),
        ({"case": case, "verdict": "maybe"}, 422),
        ({"case": "1" * 16, "verdict": "right"}, 404),
    ):
        assert client.post("/review-decide", json=body).status_code == status, body
    foreign = {"origin": "https://evil.example.org"}
    assert client.post("/review-commit", headers=foreign).status_code == 403
    assert client.post("/review-commit").status_code == 422
    assert client.get("/review-answer/1").status_code == 404

    def gone(_: object) -> str:
        raise UnreachableError("The data repository cannot be reached.")

    monkeypatch.setattr(PeopleService, "head", gone)
    found = client.get("/review")
    assert found.status_code == 503 and "cannot be reached" in found.text


def test_labels_are_read_once_a_commit_and_answers_each_time(client: TestClient, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client.get("/review").text.count("called wrong") > 0
    read: list[str] = []
    listed = DataRepository.files
    monkeypatch.setattr(DataRepository, "files", lambda *arguments: read.append(arguments[1]) or listed(*arguments))
    write_feedback(repository, Feedback("Ann", "Zoë Müller", "v1.0.0", time.time(), note="a new word"))
    assert "a new word" in client.get("/review").text
    assert read == []
    git("commit", "-q", "--allow-empty", "-m", "Another commit", cwd=repository)
    Workspace(load_settings()).repository.refresh()
    assert client.get("/review").status_code == 200
    assert set(read) == {git("rev-parse", "main", cwd=repository).decode().strip()}
