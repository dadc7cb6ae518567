"""Windows: what servers left is merged, what is broken is named, and a year of them is quick."""

import shutil
import time
from pathlib import Path

from face_assets.evaluation.feature_histograms import Sketch, without_face
from face_assets.monitoring.windows import finished_windows, read_window, window_names
from face_assets.serving.runtime.recorder import window_name

HOUR = 3600
NOON = 1_800_000_000 - 1_800_000_000 % HOUR


def write(folder: Path, window: int, release: str = "v1.0.0", photos: int = 1, name: str = "a") -> Path:
    sketch = Sketch(release, window, HOUR)
    for _ in range(photos):
        sketch.add(without_face(), 0, 0)
    file = folder / window_name(window) / f"{release}.{name}.npz"
    sketch.save(file)
    return file


def test_what_several_servers_left_is_merged_by_release(tmp_path: Path) -> None:
    write(tmp_path, NOON, photos=2, name="a")
    write(tmp_path, NOON, photos=3, name="b")
    write(tmp_path, NOON, "v2.0.0", photos=4)
    window = read_window(tmp_path, window_name(NOON))
    assert {release: sketch.photos for release, sketch in window.releases.items()} == {"v1.0.0": 5, "v2.0.0": 4}
    assert (window.photos, window.problems) == (9, ())


def test_a_broken_or_moved_file_is_named_and_the_rest_counts(tmp_path: Path) -> None:
    good = write(tmp_path, NOON)
    (good.parent / "torn.npz").write_bytes(good.read_bytes()[:100])
    shutil.copyfile(write(tmp_path, NOON + HOUR), good.parent / "moved.npz")
    (good.parent / ".aside-x").write_bytes(b"of a server that was killed")
    window = read_window(tmp_path, window_name(NOON))
    assert window.photos == 1
    assert ["moved.npz" in window.problems[0], "torn.npz" in window.problems[1]] == [True, True]


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
