"""Text on a terminal fits it, has colour unless NO_COLOR is set, and ends with what to do now; in a pipe it is left as it is."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from face_assets.cli.terminal import fitted

STATUS = """home        /var/lib/face-assets
server      ready, live v1.0.0, gRPC 127.0.0.1:8001, HTTP 127.0.0.1:8000, and more that does not fit
            not v2.0.0: the deployment check found other answers than those of the release, which are long
run         3fa2b1c9 refused   commit_to_live 0123456789ab 182.3 s  2026-11-30 10:12, main: Add photos"""


def test_no_line_is_wider_than_the_terminal_and_no_word_is_lost() -> None:
    text = fitted(STATUS, 80, colour=False)
    assert text.split() == STATUS.split()
    assert max(map(len, text.splitlines())) <= 80
    below = [line for line in text.splitlines() if line.startswith(" ")]
    assert len(below) == 4
    assert all(line.startswith(" " * 12) and line[12] != " " for line in below)


def test_states_have_colours() -> None:
    text = fitted(STATUS, 80, colour=True)
    assert "\x1b[32mready\x1b[0m, live" in text
    assert "\x1b[33mrefused\x1b[0m" in text
    assert text.count("\x1b[") == 4


@pytest.mark.parametrize("no_color", ["", "1"])
def test_the_command_on_a_terminal(no_color: str, tmp_path: Path) -> None:
    script = "from face_assets.cli.terminal import print_text, say_next; print_text('server      ready'); say_next('face-assets up')"
    ours, theirs = pty.openpty()
    environment = {**os.environ, "NO_COLOR": no_color, "COLUMNS": "80"}
    with subprocess.Popen([sys.executable, "-c", script], stdout=theirs, stderr=theirs, env=environment) as child:
        os.close(theirs)
        written = os.read(ours, 1000)
        while b"Next" not in written:
            written += os.read(ours, 1000)
    os.close(ours)
    assert child.returncode == 0
    state = "ready" if no_color else "\x1b[32mready\x1b[0m"
    assert written.decode().splitlines() == [f"server      {state}", "Next: face-assets up"]
    piped = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (piped.stdout, piped.stderr) == ("server      ready\n", "")
