"""The pages of people: everybody is found and shown, and what a person does there is a commit or a clear refusal."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from playwright.sync_api import expect

from face_assets.core.errors import RefusedError, UnreachableError
from face_assets.core.params import Params
from face_assets.core.settings import load_settings, remember
from face_assets.detection.detectors import crop_store
from face_assets.event_log import commit_progress
from face_assets.event_log.commit_progress import CommitProgress
from face_assets.gallery.photo_checks import PhotoChecks
from face_assets.registry.folder_commit import DataChange, commit_data
from face_assets.registry.git import git
from face_assets.registry.person import PLATFORM
from face_assets.registry.workspace import Workspace
from face_assets.storage.content_store import Entry
from face_assets.web.app import create_app
from face_assets.web.people_service import PeopleService
from face_assets.web.recognizer import Recognizer
from tests.web.browser import Site, browser, open_page
from tests.web.service import TOKEN, endpoint_of_nobody

HOSTILE = "<script>alert('Ann')</script>".replace("/", "∕") + "\"'&"


def picture(value: int) -> bytes:
    output = io.BytesIO()
    Image.fromarray(np.full((40, 40, 3), value, np.uint8)).save(output, "JPEG")
    return output.getvalue()


@pytest.fixture
def client(home: Path, bare: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    def require_good(_: object, commit: str, name: str, photos: Sequence[object], meant: bool) -> None:
        if name == "Poor" and not meant:
            raise RefusedError("photo 1: no face found")

    monkeypatch.setattr(PhotoChecks, "require_good", require_good)
    monkeypatch.setattr(commit_progress, "wait_for_commit", lambda *_: CommitProgress("live", "1"))
    remember(repo=str(bare))
    with TestClient(create_app(load_settings(), Recognizer(endpoint_of_nobody), token=TOKEN), "http://localhost:8004") as made:
        yield made


def enrol(client: TestClient, name: str, *photos: bytes) -> list[str]:
    """Enrols a person; the photos' ids."""
    made = client.post("/api/v1/people", params={"name": name}, files=[("photo", photo) for photo in photos])
    assert made.status_code == 202, made.text
    return [photo["id"] for photo in client.get(f"/api/v1/people/{name}").json()["photos"]]


def test_people_are_listed_in_pages_and_found_by_a_part_of_the_name(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("face_assets.web.people_pages.A_PAGE", 2)
    first = client.get("/people").text
    assert "Ann" in first and "Bob" in first and "Zoë Müller" not in first
    assert 'rel="next"' in first and "Page 1 of 2" in first
    assert "Zoë Müller" in client.get("/people?at=99").text
    found = client.get("/people?q=zOë").text
    assert "1 of 3 people" in found and "Bob" not in found
    assert client.get(f"/people?q={'x' * 301}").status_code == 422


def test_the_page_of_what_is_due_names_people_and_their_time(client: TestClient) -> None:
    assert "has no people.csv" in client.get("/due").text
    workspace, entries = (
        Workspace.load(),
        "identity,basis,since,until\nAnn,consent,2020-01-01,2021-01-01\nBob,<b>contract</b>,2020-01-01,\n",
    )
    change = DataChange({}, {"people.csv": entries.encode()}, "Write the register", PLATFORM)
    assert commit_data(workspace.repository, "main", lambda _: change)
    found = client.get("/due").text
    assert "2 people are due" in found and "erased everywhere" in found
    assert ">Ann</th><td>time has passed</td><td>consent</td><td>2020-01-01</td><td>2021-01-01</td>" in found
    assert ">Zoë Müller</th><td>no entry</td>" in found and "contract" not in found


def test_a_name_is_text_on_its_pages(client: TestClient) -> None:
    enrol(client, HOSTILE, picture(1))
    for text in (client.get("/people").text, client.get("/person", params={"name": HOSTILE}).text):
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert" in text


def test_faces_are_shown_as_the_detector_cut_them_and_only_while_they_are_listed(client: TestClient) -> None:
    dark, light = enrol(client, "Yan", picture(10), picture(250))
    workspace = Workspace(load_settings())
    workspace.home.detector.mkdir()
    (workspace.home.detector / "pnet.xml").write_text("<net/>")
    crops = np.full((160, 160, 3), 99, np.uint8)
    crop_store(workspace, Params().detector).put([Entry(dark, {}, crops.tobytes()), Entry("f" * 32, {}, crops.tobytes())])
    cut, small = (client.get(f"/face/{md5}/0") for md5 in (dark, light))
    assert cut.headers["content-type"] == "image/jpeg" and cut.headers["cache-control"] == "no-store"
    assert Image.open(io.BytesIO(cut.content)).getpixel((80, 80)) == (99, 99, 99)
    assert Image.open(io.BytesIO(small.content)).size == (40, 40), "without a crop the photo"
    assert client.get(f"/face/{'f' * 32}/0").status_code == 404, "stored, and listed no more"
    assert client.get("/face/..%2F..%2Fsettings.json/0").status_code in (404, 422)
    random = client.get("/api/v1/people/Ann").json()["photos"][0]["id"]
    assert (client.get(f"/photo/{random}").status_code, client.get(f"/photo/{random}").json()["code"]) == (422, "invalid")


def test_an_unreachable_repository_is_named_on_the_page(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_: PeopleService) -> None:
        raise UnreachableError("The data repository cannot be reached.")

    monkeypatch.setattr(PeopleService, "people", gone)
    for path in ("/people", "/person?name=Ann"):
        found = client.get(path)
        assert found.status_code == 503
        assert 'role="alert"' in found.text and "cannot be reached" in found.text
    assert client.get("/person?name=a%2Fb").status_code == 503


def test_nobody_of_a_name_is_said(client: TestClient) -> None:
    for name, status in (("Nobody", 404), ("a/b", 422), ("x" * 300, 422)):
        found = client.get("/person", params={"name": name})
        assert found.status_code == status
        assert 'role="alert"' in found.text


def test_people_are_enrolled_renamed_merged_and_removed_by_clicking(client: TestClient, bare: Path, site: Site, tmp_path: Path) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(picture(7))
    with site(client.app) as address, browser() as chromium:  # type: ignore[arg-type]
        page, errors = open_page(chromium, address)
        page.goto("/people")
        page.get_by_label("Name", exact=True).fill("Poor")
        page.get_by_label("Photos that show").set_input_files(file)
        page.get_by_role("button", name="Enrol").click()
        expect(page.get_by_role("alert")).to_contain_text("no face found")
        page.get_by_label("Name", exact=True).fill(HOSTILE)
        page.get_by_role("button", name="Enrol").press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
        expect(page.get_by_role("status")).to_contain_text("is live")
        page.get_by_label("New name").fill("Yan")
        page.get_by_role("button", name="Rename").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Yan")
        page.get_by_label("also enrolled as").press_sequentially("an")
        expect(page.locator("#known-people option")).to_have_count(2)
        page.get_by_label("also enrolled as").fill("Ann")
        page.get_by_role("button", name="Merge into").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Ann")
        expect(page.get_by_role("button", name="Remove photo")).to_have_count(3)
        page.get_by_role("button", name="Remove photo 1").click()
        expect(page.get_by_role("button", name="Remove photo")).to_have_count(2)
        page.get_by_role("button", name="Remove Ann").click()
        page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("People")
        expect(page.get_by_text("Zoë Müller")).to_be_visible()
        assert errors == []
    subjects = git("log", "--format=%s", "-5", "main", cwd=bare).decode().splitlines()
    assert [subject.partition(" ")[0] for subject in subjects] == ["Remove", "Remove", "Merge", "Rename", "Enrol"]
    author = git("log", "--format=%an", "-1", "main", cwd=bare).decode().strip()
    assert author == "ann" or not address.startswith("https:"), "who has signed in"
