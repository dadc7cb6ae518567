"""Waiting ticks: what ends the wait, in a local repository and in one that must be listed; and the code server's supervision."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from face_assets.automation import change_watch
from face_assets.automation.change_watch import ChangeWatch, wake_sensors
from face_assets.automation.commit_sensor import commit_sensor
from face_assets.core.settings import load_settings
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.registry.git import git
from face_assets.registry.workspace import Workspace

LONG = 60.0


@pytest.fixture
def workspace(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace whose data repository has one commit."""
    source = tmp_path / "source"
    git("init", "-q", "-b", "main", source)
    _commit(source)
    monkeypatch.setenv("FACE_ASSETS_REPO", str(source))
    monkeypatch.setattr(change_watch, "SECONDS_BETWEEN_LISTINGS", 0.0)
    return Workspace(load_settings())


def _commit(source: Path) -> None:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    git(*who, "commit", "-q", "--allow-empty", "-m", "Change", cwd=source)


def _source(workspace: Workspace) -> Path:
    assert workspace.settings.repo
    return Path(workspace.settings.repo)


CHANGES: dict[str, Callable[[Workspace], object]] = {
    "a commit": lambda workspace: _commit(_source(workspace)),
    "a branch below another name": lambda workspace: git("branch", "team/a", cwd=_source(workspace)),
    "a branch after the refs were packed": lambda workspace: [
        git("pack-refs", "--all", cwd=_source(workspace)),
        git("branch", "b", cwd=_source(workspace)),
    ],
    "a tag": lambda workspace: git("tag", "face-recognizer@v1.0.0", cwd=_source(workspace)),
    "a call to wake": lambda workspace: wake_sensors(workspace.home.root),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_ends_the_wait(workspace: Workspace, change: Callable[[Workspace], object]) -> None:
    watch = ChangeWatch(workspace, refs=True)
    assert not watch.wait(0)
    change(workspace)
    assert watch.wait(LONG)


def test_a_repository_elsewhere_is_listed(workspace: Workspace) -> None:
    workspace.repository.local = None
    watch = ChangeWatch(workspace, refs=True)
    _commit(_source(workspace))
    assert watch.wait(LONG)
    watch = ChangeWatch(workspace, refs=True)
    _source(workspace).rename(_source(workspace).with_name("gone"))
    assert watch.wait(LONG), "the tick then reports that it cannot be read"


def test_the_commit_sensor_takes_up_a_commit_that_comes_while_it_waits(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    with dg.instance_for_test() as instance:
        with dg.build_sensor_context(instance) as context:
            first = commit_sensor(context, platform=WorkspaceResource())
        assert isinstance(first, dg.SensorResult)

        def come(_: ChangeWatch) -> bool:
            _commit(_source(workspace))
            return True

        monkeypatch.setattr(ChangeWatch, "wait", come)
        with dg.build_sensor_context(instance, cursor=first.cursor) as context:
            second = commit_sensor(context, platform=WorkspaceResource())
    assert isinstance(second, dg.SensorResult)
    assert "holds no photos.dvc" in str(second.skip_reason)
    assert second.cursor != first.cursor


def test_a_code_server_that_dies_is_started_again_and_term_ends_both(tmp_path: Path) -> None:
    """The second one ends its supervisor."""
    starts = tmp_path / "starts"
    server = (
        "import os, pathlib, signal, time; "
        f"file = pathlib.Path({str(starts)!r}); file.open('a').write('.'); "
        "os._exit(1) if len(file.read_text()) == 1 else os.kill(os.getppid(), signal.SIGTERM); time.sleep(600)"
    )
    program = f"""
import sys
from pathlib import Path
from face_assets.automation import code_server
code_server.SECONDS_BETWEEN_STARTS = 0.0
code_server.keep([sys.executable, "-c", {server!r}], Path({str(tmp_path / "socket")!r}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 143, done.stderr
    assert "ended with status 1" in done.stderr
    assert starts.read_text() == ".."
