"""DVC as a command."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from face_assets.credentials import without_credentials
from face_assets.errors import UserError
from face_assets.registry.git import environment

DVC_ENVIRONMENT = {"DVC_NO_ANALYTICS": "1", "GIT_TERMINAL_PROMPT": "0"}
SEVERAL = """
import json, sys
from dvc.cli import main
for number, command in enumerate(json.loads(sys.argv[1]), 1):
    if main(command):
        sys.exit(number)
"""


def run_dvc(cwd: Path, *commands: Sequence[str]) -> None:
    """Commands of this environment's dvc, in one process: it takes half a second to start. Raises UserError with DVC's reason."""
    done = try_dvc(cwd, *commands)
    if done.returncode:
        failed = dict(enumerate((command[0] for command in commands), 1)).get(done.returncode, "was ended")
        raise UserError(f"dvc {failed}: {last_line(done)}")


def try_dvc(cwd: Path, *commands: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """The same; its exit status is the number of the command that failed."""
    command = [sys.executable, "-c", SEVERAL, json.dumps(commands)]
    return subprocess.run(command, cwd=cwd, env={**environment(), **DVC_ENVIRONMENT}, capture_output=True, text=True, check=False)


def last_line(done: "subprocess.CompletedProcess[str]") -> str:
    """What DVC said last, without credentials."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.strip().splitlines() or ["no message"]
    return without_credentials(lines[0].removeprefix("ERROR: ").strip())
