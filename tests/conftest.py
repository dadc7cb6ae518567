"""Fixtures of all tests: the real photos where they are, and a home of its own for each test that asks for one."""

import os
import random
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

REAL_DATA = "FACE_ASSETS_REAL_DATA"
PORTS = range(20_000, 32_000)  # below those that the kernel gives to callers, who would take a server's while it is down


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Real-face tests run where the photos are; elsewhere they alone are skipped, and say why."""
    if os.environ.get(REAL_DATA):
        return
    for item in items:
        if item.get_closest_marker("real"):
            item.add_marker(pytest.mark.skip(reason=f"{REAL_DATA} is not set: no real photos on this machine"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with lfw/ and weights/."""
    return Path(os.environ[REAL_DATA])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh FACE_ASSETS_HOME, with no other setting in the environment."""
    for name in [name for name in os.environ if name.startswith("FACE_ASSETS_") and name not in (REAL_DATA, "FACE_ASSETS_SERVING_ENV")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FACE_ASSETS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="session")
def free_ports() -> Callable[[int], list[int]]:
    """Gives so many ports that nobody listens on, and none of them twice."""
    shuffled = iter(random.sample(PORTS, len(PORTS)))

    def free(count: int) -> list[int]:
        found: list[int] = []
        while len(found) < count:
            port = next(shuffled)
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)):
                    found.append(port)
        return found

    return free
