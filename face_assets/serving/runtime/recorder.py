"""Recorder of feature histograms: those of the current window are in memory, and written to a folder every few seconds."""

import json
import re
import secrets
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from face_assets.evaluation.feature_histograms import FeatureHistograms

WINDOW_NAME = "%Y-%m-%d-%H:%M"  # as Dagster names hours
SECONDS_A_WINDOW = 3600
SECONDS_A_FLUSH = 10.0
JUMP = 30.0
MOST_WAITING = 48  # windows in memory while the disk is full, a few KB each
UNSAFE = re.compile(r"[^A-Za-z0-9._-]")

Problem = Callable[..., None]


def log_event(event: str, **facts: Any) -> None:
    """Writes an event as a line of JSON to the server's log. Facts contain no image, embedding or name."""
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    print(json.dumps({"time": moment, "level": "warning", "event": event, **facts}, default=str), file=sys.stderr, flush=True)


class Recorder:
    """Counts photos of one release in the histograms of the current window. Thread-safe."""

    def __init__(
        self,
        folder: Path,
        release: str,
        problem: Problem,
        window: int = SECONDS_A_WINDOW,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ):
        """Writes FOLDER/WINDOW/RELEASE.TOKEN.npz. problem(event, **facts): called for each problem."""
        self.folder, self.release, self.seconds = folder, release, window
        self._problem, self._clock, self._steady = problem, clock, steady
        self._lock = threading.Lock()  # of the counts
        self._writing = threading.Lock()
        self._token = f"{UNSAFE.sub('_', release)}.{secrets.token_hex(6)}"
        self._opened = 0
        self._open: FeatureHistograms | None = None
        self._waiting: dict[str, FeatureHistograms] = {}  # file below the folder → its content
        self._dirty: set[str] = set()
        self._ahead = clock() - steady()
        self._failing = False

    def add(self, bins: Any, faces: int, accepted: int) -> None:
        """Counts one photo with a result; see FeatureHistograms.add."""
        with self._lock:
            self._current().add(bins, faces, accepted)

    def refused(self) -> None:
        """Counts one photo that could not be used."""
        with self._lock:
            self._current().refused += 1

    def flush(self) -> bool:
        """Writes changed histograms and drops finished windows. Returns False where a file could not be written and waits."""
        with self._writing:
            with self._lock:
                self._notice_jump()
                running = self._window()
                work = {file: self._copy(self._waiting[file]) for file in sorted(self._dirty)}
                self._dirty.clear()
            failed = [file for file, histograms in work.items() if not self._write(file, histograms)]
            with self._lock:
                for file in [
                    file for file, histograms in self._waiting.items() if histograms.window != running and file not in self._dirty
                ]:
                    del self._waiting[file]
                if self._open is not None and self._open.window != running:
                    self._open = None
                self._forget_oldest()
        return not failed

    def _window(self) -> int:
        return int(self._clock() // self.seconds) * self.seconds

    def _current(self) -> FeatureHistograms:
        """Returns the current window's histograms. Each opening has a file of its own: a clock set back overwrites nothing."""
        window = self._window()
        if self._open is None or self._open.window != window:
            self._open = FeatureHistograms(self.release, window, self.seconds)
            self._opened += 1
            self._file = f"{window_name(window)}/{self._token}-{self._opened}.npz"
            self._waiting[self._file] = self._open
        self._dirty.add(self._file)
        return self._open

    def _copy(self, histograms: FeatureHistograms) -> FeatureHistograms:
        copied = FeatureHistograms(histograms.release, histograms.window, histograms.seconds)
        copied.merge(histograms)
        return copied

    def _write(self, file: str, histograms: FeatureHistograms) -> bool:
        try:
            histograms.save(self.folder / file)
        except OSError as error:
            with self._lock:
                self._dirty.add(file)
            if not self._failing:  # once, not every few seconds
                self._problem("histograms_not_written", folder=str(self.folder), reason=error.strerror or str(error))
            self._failing = True
            return False
        self._failing = False
        return True

    def _forget_oldest(self) -> None:
        gone = list(self._waiting)[: max(0, len(self._waiting) - MOST_WAITING)]
        for file in gone:
            del self._waiting[file]
            self._dirty.discard(file)
            self._problem("histograms_lost", window=file.partition("/")[0], reason="it could not be written for too long")

    def _notice_jump(self) -> None:
        ahead = self._clock() - self._steady()
        if abs(ahead - self._ahead) > JUMP:
            self._problem("clock_jumped", seconds=round(ahead - self._ahead, 1))
        self._ahead = ahead


def window_name(window: int) -> str:
    """Returns the name of a window's folder: its beginning in UTC."""
    return datetime.fromtimestamp(window, UTC).strftime(WINDOW_NAME)
