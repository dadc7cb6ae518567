"""The pages of releases and experiments: every evaluated commit is found, and any two stand next to one another."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import expect

from face_assets.core.settings import load_settings, remember
from face_assets.registry.git import git
from face_assets.registry.workspace import Workspace
from face_assets.web.app import create_app
from face_assets.web.recognizer import Recognizer
from tests.release.made_evaluation import evaluate
from tests.web.browser import Site, browser, open_page
from tests.web.service import TOKEN, endpoint_of_nobody
from tests.web.test_people_pages import HOSTILE

PAIR = ("Ann/0 a.jpg", "Ann/1 a.jpg")


@pytest.fixture
def client(repository: Path, home: Path) -> TestClient:
    remember(repo=str(repository))
    workspace = Workspace(load_settings())
    git("checkout", "-q", "-b", "exp/branch", cwd=repository)
    (repository / "params.yaml").write_text("train: {epochs: 3}\n")
    git("commit", "-q", "-a", "-m", HOSTILE, cwd=repository)
    git("checkout", "-q", "main", cwd=repository)
    workspace.repository.refresh()
    for name, score in (("main", 0.6), ("exp/branch", 0.4)):
        evaluate(workspace, workspace.repository.resolve(name), list(PAIR), {PAIR: score})
    return TestClient(create_app(load_settings(), Recognizer(endpoint_of_nobody), token=TOKEN), "http://localhost:8004")


def test_commits_are_filtered_sorted_and_compared_by_clicking(client: TestClient, site: Site) -> None:
    with site(client.app) as address, browser() as chromium:  # type: ignore[arg-type]
        page, errors = open_page(chromium, address)
        page.goto("/releases")
        rows = page.locator("#table tbody tr:visible")
        expect(rows).to_have_count(2)
        page.get_by_role("button", name="Subject").click()
        expect(rows.first).to_contain_text(HOSTILE)
        page.get_by_role("button", name="Subject").click()
        expect(rows.last).to_contain_text(HOSTILE)
        expect(page.get_by_role("columnheader", name="Subject")).to_have_attribute("aria-sort", "descending")
        page.get_by_label("Filter by").fill("SCRIPT")
        expect(rows).to_have_count(1)
        expect(page.get_by_role("status")).to_have_text("1 of 2 are shown.")
        rows.first.get_by_label("second").check()
        page.get_by_label("Filter by").fill("")
        rows.first.get_by_label("first").check()
        page.get_by_role("button", name="Compare").click()
        expect(page.get_by_role("cell", name="train.epochs")).to_be_visible()
        expect(page.get_by_text("One person, new mistake: 0.600 → 0.400")).to_be_visible()
        assert errors == []


def test_what_cannot_be_compared_says_why(client: TestClient) -> None:
    for query, status, words in (
        ("first=main&second=nothing", 422, "nothing"),
        ("first=main&second=--help", 422, "--help"),
        ("first=main&second=v9.0.0", 422, "v9.0.0"),
        ("first=main", 422, "second"),
    ):
        found = client.get(f"/compare?{query}")
        assert found.status_code == status and words in found.text, query
    assert "<script>alert" not in client.get("/releases").text
