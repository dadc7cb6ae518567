"""Fixtures of the web service's tests."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI

from face_assets.registry.git import git
from tests.signin import BACKENDS, sign_in
from tests.web.browser import Site, served
from tests.web.service import TOKEN

PAGES = 8004


@pytest.fixture
def bare(repository: Path, tmp_path: Path) -> Path:
    """The data repository as a server has it."""
    git("clone", "-q", "--bare", repository, tmp_path / "bare.git")
    return tmp_path / "bare.git"


@pytest.fixture(scope="session")
def signed_in_pages(
    base_image: str, free_ports: Callable[[int], list[int]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, int]]:
    """The pages' address at the sign-in of Compose, with TLS, and the port behind it at which it expects the service."""
    *public, behind = free_ports(len(BACKENDS) + 1)
    ports = dict(zip(BACKENDS, public, strict=True))
    with sign_in(base_image, tmp_path_factory.mktemp("signin"), ports, {PAGES: behind}, token=TOKEN) as made:
        yield made.address(PAGES), behind


@pytest.fixture(params=["direct", pytest.param("signed in", marks=pytest.mark.slow)])
def site(request: pytest.FixtureRequest, free_ports: Callable[[int], list[int]]) -> Site:
    """Serves an application that knows TOKEN, on loopback and once more behind the sign-in of Compose with TLS."""

    @contextmanager
    def direct(app: FastAPI) -> Iterator[str]:
        with served(app, free_ports(1)[0]) as address:
            yield address

    @contextmanager
    def signed_in(app: FastAPI) -> Iterator[str]:
        address, port = request.getfixturevalue("signed_in_pages")
        with served(app, port):
            yield address

    return direct if request.param == "direct" else signed_in
