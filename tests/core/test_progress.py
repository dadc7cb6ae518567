"""Progress: a line each ten seconds and the last, a bar on a terminal."""

import os
import pty
import subprocess
import termios
from contextlib import suppress

from face_assets.core.progress import progress_lines
from face_assets.core.subprocesses import python

BAR = """
from face_assets.core.progress import progress_bar
with progress_bar("drawn") as progress:
    progress(1, 2)
    progress(2, 2)
"""


def test_a_line_each_ten_seconds_and_the_last() -> None:
    times, lines = iter([0, 4, 9, 10, 19, 21, 22]), list[str]()
    progress = progress_lines(lines.append, "aligned", clock=lambda: float(next(times)))
    for done in (100, 200, 300, 400, 500, 2000):
        progress(done, 2000)
    assert lines == [
        "aligned 300 of 2,000 photos, 30 a second",
        "aligned 500 of 2,000 photos, 24 a second",
        "aligned 2,000 of 2,000 photos, 91 a second",
    ]


def test_a_bar_on_a_terminal_and_a_line_in_a_file() -> None:
    shown, (ours, theirs) = "", pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    subprocess.run(python("-c", BAR), stderr=theirs, check=True)
    os.close(theirs)
    with open(ours, "rb", buffering=0) as terminal, suppress(OSError):  # EIO is a terminal's end
        while part := terminal.read(10_000):
            shown += part.decode()
    assert "\rdrawn: 100%" in shown
    assert "2/2" in shown
    written = subprocess.run(python("-c", BAR), stderr=subprocess.PIPE, text=True, check=True).stderr
    assert written.startswith("drawn 2 of 2 photos")
    assert written.count("\n") == 1


def test_another_system_than_linux_gets_a_sentence() -> None:
    done = subprocess.run(
        python("-c", "import sys; sys.platform = 'darwin'; import face_assets.cli.main"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Face Assets needs Linux, and this is darwin: run it on")
    assert done.stderr.count("\n") == 1
