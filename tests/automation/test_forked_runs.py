"""Processes of runs of the code server."""

import os
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import pytest

from face_assets.automation import forked_runs
from face_assets.automation.forked_runs import RunProcesses


def put_facts(queue: "Queue[Any]") -> None:
    """Puts the process's parent, which is this one only without a fork server between them, and whether the loaded code is there."""
    import sys

    queue.put((os.getppid(), "tomllib" in sys.modules))


def _facts(processes: RunProcesses) -> tuple[int, bool]:
    queue = processes.Queue()
    process = processes.Process(target=put_facts, args=[queue])
    process.start()
    facts: tuple[int, bool] = queue.get(timeout=120)
    process.join(120)
    assert process.exitcode == 0
    return facts


def test_a_run_is_a_fork_of_the_loaded_code_until_the_code_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "face_assets").mkdir()
    for name in ("definitions.py", "face_assets/steps.py"):
        (tmp_path / name).touch()
    monkeypatch.setattr(forked_runs, "PACKAGE", tmp_path / "face_assets")
    monkeypatch.setattr(forked_runs, "PRELOADED", "tomllib")
    processes = RunProcesses()
    processes.load()
    parent, loaded = _facts(processes)
    assert parent != os.getpid()
    assert loaded
    os.utime(tmp_path / "face_assets" / "steps.py", ns=(1, 2**62))
    parent, loaded = _facts(processes)
    assert parent == os.getpid(), "a new Python, with the changed code"
    assert not loaded
