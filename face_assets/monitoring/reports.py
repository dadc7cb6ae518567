"""Store of drift reports: one JSON file a window."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

from face_assets.core.files import write_json
from face_assets.monitoring.drift import DriftReport
from face_assets.monitoring.windows import NAME
from face_assets.serving.runtime.recorder import window_name

FOLDER = "reports"
JUDGED = ("drift", "no_drift")
MOST_WINDOWS = 31 * 24  # to search for the last reports: a release without a verdict must not cost reading a year of files


def write_reports(root: Path, window: str, reports: Sequence[DriftReport]) -> Path:
    """Replaces the reports of a window, one a release. root: the monitoring folder. Returns the file."""
    file = root / FOLDER / f"{window}.json"
    write_json(file, [report.to_json() for report in reports])
    return file


def read_reports(root: Path, window: str) -> list[DriftReport]:
    """Returns the reports of a window, the release with most photos first; none for a missing or broken file."""
    try:
        stored = json.loads((root / FOLDER / f"{window}.json").read_text(encoding="utf-8"))
        found = [DriftReport.from_json(values) for values in stored]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return sorted(found, key=lambda report: -report.photos)


def reported_windows(root: Path) -> list[str]:
    """Returns the windows with a report up to the current hour, oldest first; a wrong clock may have written later ones."""
    folder, running = root / FOLDER, window_name(int(time.time()))
    names = (file.stem for file in folder.glob("*.json")) if folder.is_dir() else ()
    return sorted(name for name in names if NAME.fullmatch(name) and name <= running)


def latest(root: Path) -> DriftReport | None:
    """Returns the report of the newest window with traffic, of the release with most photos; None without one."""
    return next(iter(last(root, 1)), None)


def last(root: Path, most: int, release: str | None = None, judged: bool = False) -> list[DriftReport]:
    """Returns the reports of the last `most` windows with traffic, newest first.

    release: only of this one; judged: only with the verdict drift or no drift. Windows before the last MOST_WINDOWS are not read.
    """
    found: list[DriftReport] = []
    for window in reversed(reported_windows(root)[-MOST_WINDOWS:]):
        if len(found) == most:
            break
        fitting = [one for one in read_reports(root, window) if release in (None, one.release) and (one.verdict in JUDGED or not judged)]
        found += fitting[:1]
    return found


def consecutive_drift(root: Path, release: str, windows: int) -> list[DriftReport]:
    """The last `windows` verdicts on a release, newest first, where all of them are drift; else nothing."""
    found = last(root, windows, release, judged=True)
    return found if len(found) == windows and all(one.verdict == "drift" for one in found) else []
