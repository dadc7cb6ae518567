"""A home of its own with free ports, and the command as a user runs it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SECONDS = 1500


@dataclass(frozen=True)
class Cli:
    """Runs `face-assets` in a home, with what it printed."""

    environment: dict[str, str]
    folder: Path

    def __call__(self, *arguments: str | Path, status: int = 0) -> str:
        done = self.run(*arguments)
        assert done.returncode == status, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr + done.stdout
        return done.stdout + done.stderr

    def json(self, *arguments: str | Path, status: int = 0) -> Any:
        done = self.run(*arguments, "--json")
        assert done.returncode == status, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout)

    def run(self, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        command = [str(Path(sys.executable).with_name("face-assets")), *map(str, arguments)]
        return subprocess.run(command, env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=SECONDS)


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory, free_ports: Callable[[int], list[int]]) -> Iterator[Cli]:
    folder = tmp_path_factory.mktemp("e2e")
    names = ("HTTP_PORT", "GRPC_PORT", "METRICS_PORT", "UI_PORT", "EXPORTER_PORT", "PROMETHEUS_PORT", "WEB_PORT")
    ports = {f"FACE_ASSETS_{name}": str(port) for name, port in zip(names, free_ports(len(names)), strict=True)}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FACE_ASSETS_") or name == "FACE_ASSETS_SERVING_ENV"}
    command = Cli({**kept, **ports, "FACE_ASSETS_HOME": str(folder / "home")}, folder)
    yield command
    command("down")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: "pytest.CallInfo[None]") -> Iterator[None]:
    """Where a test with a browser failed, keeps what the page showed, and says where."""
    report: Any = yield  # type: ignore[misc]
    shown = getattr(item, "funcargs", {})
    if report.failed and "ui" in shown and "cli" in shown:
        report.sections.append(("what the browser showed", shown["ui"].keep(shown["cli"].folder / "failures", item.name)))
    return report  # type: ignore[no-any-return]
