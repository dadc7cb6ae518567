"""Windows: what servers left is merged, what is broken is named, and a year of them is quick."""

import os
import shutil
import time
from pathlib import Path

import numpy as np

from face_assets.evaluation.feature_histograms import BINS, FEATURES, FORMAT, FeatureHistograms, without_face
from face_assets.monitoring.windows import finished_windows, read_window, window_names
from face_assets.serving.runtime.recorder import window_name

HOUR = 3600
NOON = 1_800_000_000 - 1_800_000_000 % HOUR


def write(folder: Path, window: int, release: str = "v1.0.0", photos: int = 1, name: str = "a") -> Path:
    histograms = FeatureHistograms(release, window, HOUR)
    for _ in range(photos):
        histograms.add(without_face(), 0, 0)
    file = folder / window_name(window) / f"{release}.{name}.npz"
    histograms.save(file)
    return file


def test_what_several_servers_left_is_merged_by_release(tmp_path: Path) -> None:
    write(tmp_path, NOON, photos=2, name="a")
    write(tmp_path, NOON, photos=3, name="b")
    write(tmp_path, NOON, "v2.0.0", photos=4)
    window = read_window(tmp_path, window_name(NOON))
    assert {release: histograms.photos for release, histograms in window.releases.items()} == {"v1.0.0": 5, "v2.0.0": 4}
    assert (window.photos, window.problems) == (9, ())


def test_a_broken_or_moved_file_is_named_and_the_rest_counts(tmp_path: Path) -> None:
    good = write(tmp_path, NOON)
    (good.parent / "torn.npz").write_bytes(good.read_bytes()[:100])
    shutil.copyfile(write(tmp_path, NOON + HOUR), good.parent / "moved.npz")
    (good.parent / ".aside-x").write_bytes(b"of a server that was killed")
    window = read_window(tmp_path, window_name(NOON))
    assert window.photos == 1
    assert ["moved.npz" in window.problems[0], "torn.npz" in window.problems[1]] == [True, True]


def test_what_a_container_puts_in_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    """It may write the folder: a link to a file of the host, a pipe that nobody fills, a bomb, times and names that no server writes."""
    good = write(tmp_path, NOON)
    folder, elsewhere = good.parent, good.rename(tmp_path / "elsewhere.npz")
    (folder / "link.npz").symlink_to(elsewhere)
    os.mkfifo(folder / "pipe.npz")
    np.savez_compressed(folder / "bomb.npz", format=np.zeros(10_000_000))
    for name, release, start in (("name", "v1\n", NOON), ("time", "v1.0.0", 2**60)):
        numbers = np.array([start, HOUR, 0, 0, 0, 0, 0])
        counts = np.zeros((len(FEATURES), BINS), np.uint32)
        np.savez_compressed(folder / f"{name}.npz", format=np.array(FORMAT), release=np.array(release), numbers=numbers, counts=counts)
    (tmp_path / window_name(NOON + HOUR)).symlink_to(folder)
    window = read_window(tmp_path, window_name(NOON))
    assert (window.releases, len(window.problems)) == ({}, 5)
    words = (
        "bomb.npz is packed",
        "link.npz",
        "name.npz holds no",
        "pipe.npz is no file",
        "time.npz holds no",
    )
    assert [word in problem for word, problem in zip(words, window.problems, strict=True)] == [True] * 5
    assert read_window(tmp_path, window_name(NOON + HOUR)).problems == ()


def test_hours_that_have_not_ended_wait(tmp_path: Path) -> None:
    for window in (NOON, NOON + HOUR, NOON + 50 * HOUR):  # the last by a clock that was wrong
        write(tmp_path, window)
    (tmp_path / "lost+found").mkdir()
    assert finished_windows(tmp_path, NOON + HOUR + 30) == []  # its last flush may be under way
    assert finished_windows(tmp_path, NOON + HOUR + 90) == [window_name(NOON)]
    assert finished_windows(tmp_path, NOON + 3 * HOUR, after=window_name(NOON)) == [window_name(NOON + HOUR)]
    assert window_names(tmp_path / "nothing") == []


def test_a_year_of_hours_is_quick(tmp_path: Path) -> None:
    source = write(tmp_path, NOON)
    for number in range(1, 365 * 24):
        folder = tmp_path / window_name(NOON - number * HOUR)
        folder.mkdir()
        (folder / source.name).hardlink_to(source)
    began = time.process_time()
    assert len(finished_windows(tmp_path, NOON + 2 * HOUR)) == 365 * 24
    assert read_window(tmp_path, window_name(NOON)).photos == 1
    assert time.process_time() - began < 1.0
