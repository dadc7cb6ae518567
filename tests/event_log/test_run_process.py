"""The process of a run of the command line."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from face_assets.event_log import run_process
from face_assets.event_log.run_process import RunProcess

SCRIPT = """
import os, signal, sys
def main(arguments):
    print(*arguments, sys.stdin.read(), os.environ["PYTHONSAFEPATH"])
    if arguments[0] == "hang":
        signal.pause()
    sys.exit(int(arguments[0]))
if __name__ == "__main__":
    main(sys.argv[1:])
"""


@pytest.fixture(params=["a fork", "a new Python"])
def module(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "executed_run.py").write_text(SCRIPT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(run_process, "EXECUTE", "executed_run")
    monkeypatch.setattr(run_process, "_may_fork", lambda: request.param == "a fork")
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)  # Dagster gives it the handler of SIGINT, which a worker of pytest ignores
    yield
    signal.signal(signal.SIGTERM, before)


def _end_of(process: RunProcess) -> int | None:
    process._wait()
    return process.status()


@pytest.mark.usefixtures("module")
def test_it_has_its_status_and_its_log(tmp_path: Path) -> None:
    process = RunProcess(["3", "words"], tmp_path / "log")
    assert _end_of(process) == 3
    assert (tmp_path / "log").read_text() == "3 words  1\n"
    process.end()


@pytest.mark.usefixtures("module")
def test_it_is_ended_where_it_hangs(tmp_path: Path) -> None:
    process = RunProcess(["hang"], tmp_path / "log")
    assert process.status() is None
    process.end()
    assert process.status() == -15


def test_only_the_command_itself_is_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["pytest"])
    assert not run_process._may_fork()
