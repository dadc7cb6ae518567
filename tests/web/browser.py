"""The pages in Debian's Chromium: the application on a port of its own, and a browser that a test clicks in."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, HttpCredentials, Page, expect, sync_playwright

from tests.e2e.dagster_ui import CHROMIUM, FLAGS
from tests.signin import PASSWORD

MILLISECONDS_TO_SHOW = 60_000
Site = Callable[[FastAPI], AbstractContextManager[str]]
"""Serves an application; yields its address."""


@contextmanager
def served(app: FastAPI, port: int) -> Iterator[str]:
    """The application on loopback; its address."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", lifespan="on"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    ready = threading.Event()
    while not server.started and thread.is_alive():
        ready.wait(0.05)
    assert server.started
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(60)


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser without a screen."""
    expect.set_options(timeout=MILLISECONDS_TO_SHOW)
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, chromium_sandbox=False)
        yield made
        made.close()


def open_page(of: Browser, address: str, user: str = "ann") -> tuple[Page, list[str]]:
    """A page with an empty profile at the address, and what its console says of errors. user: who signs in where the address has TLS."""
    signed_in = HttpCredentials(username=user, password=PASSWORD) if address.startswith("https:") else None
    context = of.new_context(base_url=address, reduced_motion="reduce", http_credentials=signed_in, ignore_https_errors=True)
    page = context.new_page()
    page.set_default_timeout(MILLISECONDS_TO_SHOW)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if "Content Security Policy" in line.text else None)
    return page, errors
