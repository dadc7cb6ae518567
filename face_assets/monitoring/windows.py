"""Windows of traffic: the servers' histograms in a folder, merged by release."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from face_assets.evaluation.feature_histograms import BrokenHistograms, FeatureHistograms
from face_assets.serving.runtime.recorder import SECONDS_A_WINDOW, WINDOW_NAME, window_name

SECONDS_TO_SETTLE = 60  # after a window's end, for the last flush of every server
MOST_FILES = 5_000  # of an hour, of all servers and their restarts
NAME = re.compile(r"\d{4}-\d\d-\d\d-\d\d:\d\d")


@dataclass(frozen=True)
class Window:
    """Traffic of a window by release, and sentences about unreadable files."""

    name: str
    releases: dict[str, FeatureHistograms] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @property
    def photos(self) -> int:
        """Number of photos with a result, of all releases."""
        return sum(histograms.photos for histograms in self.releases.values())


def window_names(folder: Path, after: str = "") -> list[str]:
    """Returns the windows with a folder, oldest first; a name is the begin in UTC, and sorts by time."""
    if not folder.is_dir():
        return []
    return sorted(entry.name for entry in folder.iterdir() if entry.name > after and NAME.fullmatch(entry.name))


def finished_windows(folder: Path, now: float, after: str = "", seconds: int = SECONDS_A_WINDOW) -> list[str]:
    """Returns the windows that ended, oldest first; those that a wrong clock put into the future wait. now: seconds since 1970."""
    last = window_name(int(now) - SECONDS_TO_SETTLE - seconds)
    return [name for name in window_names(folder, after) if name <= last]


def read_window(folder: Path, name: str) -> Window:
    """Returns the histograms of a window, merged by release; invalid files become problems. An hour without traffic is empty."""
    releases: dict[str, FeatureHistograms] = {}
    problems: list[str] = []
    files = [] if (folder / name).is_symlink() else sorted((folder / name).glob("*.npz"))
    if len(files) > MOST_FILES:
        problems.append(f"{folder / name} holds {len(files):,} files: those past {MOST_FILES:,} are left out")
    for file in files[:MOST_FILES]:
        try:
            histograms = FeatureHistograms.load(file)
        except BrokenHistograms as error:
            problems.append(str(error))
            continue
        if window_name(histograms.window) != name:
            problems.append(f"{file} was made for the window {window_name(histograms.window)}: put it back there")
        elif histograms.release in releases:
            releases[histograms.release].merge(histograms)
        else:
            releases[histograms.release] = histograms
    return Window(name, releases, tuple(problems))


def began(name: str) -> datetime:
    """Returns the begin of a window. Raises ValueError."""
    return datetime.strptime(name, WINDOW_NAME).replace(tzinfo=UTC)
