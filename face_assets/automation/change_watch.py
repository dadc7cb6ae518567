"""Waiting ticks: a sensor that finds nothing waits for a change, since a tick every few seconds costs a tenth of a second each."""

import os
import time
from collections.abc import Iterable
from pathlib import Path

from face_assets.core.errors import UserError
from face_assets.core.settings import SETTINGS_FILE
from face_assets.registry.git_mirror import GitMirror
from face_assets.registry.workspace import Workspace

SECONDS_TO_WAIT = 30.0
"""Of a tick without a change; Dagster ends one after 60, and the work after the wait needs some."""
SECONDS_BETWEEN_LOOKS = 0.25
SECONDS_BETWEEN_LISTINGS = 5.0
"""Of a repository on another machine, each of which is a connection."""


class ChangeWatch:
    """A watch since it was made: over the settings, `paths`, and, with `refs`, the branches and tags of the data repository.

    Files and folders are watched by their modification times. A change that these do not show is found by the next tick.
    """

    def __init__(self, workspace: Workspace, paths: Iterable[Path] = (), refs: bool = False):
        self._ends = time.monotonic() + SECONDS_TO_WAIT
        root = workspace.home.root
        self._repository: GitMirror | None = workspace.repository if refs else None
        folders = self._repository.ref_folders() if self._repository else []
        self._paths = [_wake_file(root), root / SETTINGS_FILE, *paths, *folders]
        self._is_listed = self._repository is not None and not folders
        self._listed = self._repository.heads() if self._repository and self._is_listed else None
        self._marks = self._read()

    @property
    def seconds_left(self) -> float:
        """Seconds that the tick may still wait; less than 0 after them."""
        return self._ends - time.monotonic()

    def wait(self, seconds: float | None = None) -> bool:
        """Waits for a change, at most `seconds` (by default those that are left); returns True where there was one."""
        now = time.monotonic()
        ends, next_listing = now + (self.seconds_left if seconds is None else seconds), now + SECONDS_BETWEEN_LISTINGS
        while time.monotonic() < ends:
            if self._read() != self._marks:
                return True
            if self._is_listed and time.monotonic() >= next_listing:
                if self._has_other_refs():
                    return True
                next_listing = time.monotonic() + SECONDS_BETWEEN_LISTINGS
            time.sleep(SECONDS_BETWEEN_LOOKS)
        return False

    def _read(self) -> list[int]:
        return [_modified(path) for path in self._paths]

    def _has_other_refs(self) -> bool:
        """True where the branches or tags differ, and where they cannot be listed, which the tick then reports."""
        assert self._repository is not None
        try:
            return self._repository.heads() != self._listed
        except UserError:
            return True


def wake_sensors(home: Path) -> None:
    """Ends the waits of all sensors of a state directory."""
    file = _wake_file(home)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    os.utime(file)


def _wake_file(home: Path) -> Path:
    return home / "run" / "wake"


def _modified(path: Path) -> int:
    """Time of the last modification in nanoseconds, 0 for a path that does not exist."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
