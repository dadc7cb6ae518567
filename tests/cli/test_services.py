"""The order in which `face-assets up` starts the services."""

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from face_assets.cli import live_server, services
from face_assets.core.errors import UserError

V1 = ("v1.0.0", "a" * 40)
V2 = ("v2.0.0", "b" * 40)


def _started(
    monkeypatch: pytest.MonkeyPatch, production: tuple[str, str] | None, live: tuple[str, str] | None, error: Exception | None = None
) -> list[str]:
    """The services that `up` starts, in order, for releases (version, commit)."""
    started: list[str] = []

    def start() -> None:
        started.append("live")
        if error:
            raise error

    assignment = SimpleNamespace(release=SimpleNamespace(version=production[0], commit=production[1])) if production else None
    found = SimpleNamespace(release=live[0], release_commit=live[1]) if live else None
    workspace: Any = SimpleNamespace(
        settings=SimpleNamespace(repo="/data", target="embedded"),
        repository=SimpleNamespace(shown="/data", refresh=lambda: None),
        stages=SimpleNamespace(production=lambda: assignment),
    )
    monkeypatch.setattr(live_server, "follow_repository", lambda repo: workspace)
    monkeypatch.setattr(live_server, "ask_to_retry", lambda workspace: None)
    monkeypatch.setattr(live_server, "target", lambda workspace: SimpleNamespace(status=lambda: SimpleNamespace(live=found), start=start))
    monkeypatch.setattr(services, "start_ui", lambda settings: started.append("UI"))
    monkeypatch.setattr(services, "ui_address", lambda settings: "")
    monkeypatch.setattr(services, "start_web", lambda settings: started.append("web"))
    monkeypatch.setattr(services, "_start_server", lambda workspace: started.append("deployment"))
    list(services.start_services(live_server.start_live(None, server=True), server=True, ui=True))
    return started


def test_the_live_release_answers_before_anything_else_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _started(monkeypatch, production=V1, live=V1) == ["live", "UI", "web", "deployment"]


@pytest.mark.parametrize(("production", "live"), [(None, V1), (V2, V1), (("v1.0.0", "c" * 40), V1), (V1, None)])
def test_no_other_release_is_started_than_that_in_production(
    monkeypatch: pytest.MonkeyPatch, production: tuple[str, str] | None, live: tuple[str, str] | None
) -> None:
    assert _started(monkeypatch, production, live) == ["UI", "web", "deployment"]


def test_a_server_that_does_not_start_is_left_to_the_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _started(monkeypatch, V1, V1, UserError("a port is taken")) == ["live", "UI", "web", "deployment"]


def test_the_live_release_does_not_wait_for_the_import_of_dagster() -> None:
    lines = (
        "import sys",
        "from face_assets.cli import live_server",
        "from face_assets.cli.commands.machine import up",
        "live_server.start_live = lambda repo, server: sys.exit(7 if 'dagster' in sys.modules else 5)",
        "up.main([])",
    )
    assert subprocess.run([sys.executable, "-c", "\n".join(lines)]).returncode == 5
