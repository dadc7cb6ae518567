"""DVC as a command."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import psutil

from face_assets.core.credentials import without_credentials
from face_assets.core.errors import UnreachableError, UserError
from face_assets.core.subprocesses import kill, python
from face_assets.registry.git import environment

SILENCE = 300.0  # seconds: a transfer may take hours, but one without a response moves nothing
LEAST_MOVED, BYTES_A_SECOND = 1_000_000.0, 1_000_000.0
DVC_ENVIRONMENT = {"DVC_NO_ANALYTICS": "1", "GIT_TERMINAL_PROMPT": "0"}
SEVERAL = """
import functools, json, sys
from configobj import ConfigObj
from dvc.cli import main
# DVC writes its configuration in ASCII without this, and fails at a path beyond it
ConfigObj.__init__ = functools.partialmethod(ConfigObj.__init__, default_encoding="utf-8")
for number, command in enumerate(json.loads(sys.argv[1]), 1):
    if main(command):
        sys.exit(number)
"""


def run_dvc(cwd: Path, *commands: Sequence[str]) -> None:
    """Runs commands of this environment's dvc in one process, which takes half a second to start. Raises UserError with DVC's reason."""
    done = try_dvc(cwd, *commands)
    if done.returncode:
        failed = dict(enumerate((command[0] for command in commands), 1)).get(done.returncode, "was ended")
        raise UserError(f"dvc {failed}: {last_line(done)}")


def try_dvc(cwd: Path, *commands: Sequence[str], silence: float = SILENCE) -> "subprocess.CompletedProcess[str]":
    """Runs commands; the exit status is the number of the failed one. Raises UnreachableError after `silence` seconds without data."""
    with subprocess.Popen(
        python("-c", SEVERAL, json.dumps(commands)),
        cwd=cwd,
        env={**environment(), **DVC_ENVIRONMENT},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            output, errors = _output_of(process, silence)
        except BaseException:
            kill(process)
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def _output_of(process: "subprocess.Popen[str]", silence: float) -> tuple[str, str]:
    """Standard output and error of a process at its end. Raises UnreachableError where it moves nothing for `silence` seconds."""
    before = 0.0
    while True:
        try:
            return process.communicate(timeout=silence)
        except subprocess.TimeoutExpired as error:
            now = _moved(process.pid)
            if now - before < LEAST_MOVED:
                raise UnreachableError(
                    f"DVC moved no data for {silence:g} s and was ended: check the DVC remote, and run again."
                ) from error
            before = now


def _moved(pid: int) -> float:
    """Bytes that a process read and wrote, plus BYTES_A_SECOND for the time that it computed."""
    try:
        process = psutil.Process(pid)
        counted, used = process.io_counters(), process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(counted.read_chars + counted.write_chars + BYTES_A_SECOND * (used.user + used.system))


def last_line(done: "subprocess.CompletedProcess[str]") -> str:
    """DVC's last message, without credentials."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.strip().splitlines() or ["no message"]
    return without_credentials(lines[0].removeprefix("ERROR: ").strip())
