"""Every page of the web service in a browser that has signed in over TLS, and none in one that has not."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from face_assets.core.settings import load_settings, remember
from face_assets.web.app import create_app
from face_assets.web.pages import PAGES
from face_assets.web.recognizer import Recognizer
from tests.web.browser import browser, open_page, served
from tests.web.service import TOKEN, endpoint_of_nobody

pytestmark = pytest.mark.slow


def test_every_page_is_for_who_has_signed_in(home: Path, bare: Path, signed_in_pages: tuple[str, int]) -> None:
    remember(repo=str(bare))
    address, behind = signed_in_pages
    app = create_app(load_settings(), Recognizer(endpoint_of_nobody), token=TOKEN, is_local=False)
    with served(app, behind) as unguarded, browser() as chromium:
        page, errors = open_page(chromium, address)
        page.goto("/")
        for name, path in PAGES:
            page.goto("/")
            page.get_by_role("navigation").get_by_role("link", name=name, exact=True).click()
            expect(page).to_have_url(f"{address}/{path.removeprefix('.')}")
            expect(page.get_by_role("heading").first).to_be_visible()
        assert errors == [] and page.context.cookies() == []
        stranger, _ = open_page(chromium, address, user="eve")
        direct, _ = open_page(chromium, unguarded)
        for _, path in PAGES:
            for other in (stranger, direct):
                answer = other.goto(f"/{path}")
                assert answer and answer.status == 401
