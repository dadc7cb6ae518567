"""Processes that outlive the command that started them: recorded by pid and start time, found again, stopped with all they started."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import psutil

from face_assets import hidden_options
from face_assets.errors import UserError
from face_assets.files import read_json, write_json
from face_assets.rights import OWNER_ALONE

MARK = "FACE_ASSETS_PROCESS_OF"
"""The variable that names the record to a process and to all that it starts: of a killed one's children there is no other trace."""
POLL_SECONDS = 0.1
SECONDS_TO_START = 30.0
CLOCK_ERROR = 3600.0  # seconds by which a clock may have been set meanwhile


@dataclass(frozen=True)
class Process:
    """A process and the moment it began (clock ticks since boot), since pids are used again."""

    pid: int
    began: int


def start(
    command: Sequence[str], log: Path, record: Path, environment: Mapping[str, str], cwd: Path, hidden: Mapping[str, str] | None = None
) -> Process:
    """Starts `command` in a session of its own, its output appended to `log`, and records it in `record`.

    hidden: options that no other user may read, each in place of a word of the command. Raises UserError where that cannot be done.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    variables = {**environment, MARK: str(record.resolve())}
    with open(log, "ab") as output:
        if hidden:
            pid = _start_hidden(command, variables, cwd, hidden, output)
        else:
            pid = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=variables,
                cwd=cwd,
                start_new_session=True,
                umask=OWNER_ALONE,
            ).pid
    process = Process(pid, _began(pid) or 0)
    write_json(record, asdict(process))
    return process


def _start_hidden(command: Sequence[str], environment: Mapping[str, str], cwd: Path, hidden: Mapping[str, str], output: IO[bytes]) -> int:
    asked = json.dumps({"command": list(command), "environment": dict(environment), "hidden": dict(hidden)})
    starter = [sys.executable, "-I", "-S", str(Path(hidden_options.__file__))]
    done = subprocess.run(
        starter,
        input=asked.encode(),
        stdout=subprocess.PIPE,
        stderr=output,
        cwd=cwd,
        umask=OWNER_ALONE,
        timeout=SECONDS_TO_START,
        check=False,
    )
    if done.returncode:
        last = Path(output.name).read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        raise UserError(
            f"The server's key cannot be hidden from other users of this machine ({' '.join(last)}): allow ptrace, which "
            "kernel.yama.ptrace_scope above 1 or seccomp forbids, or set FACE_ASSETS_TARGET=docker, whose servers have no such key."
        )
    return int(done.stdout)


def recorded(record: Path) -> Process | None:
    """The recorded process if it still runs."""
    if not record.is_file():
        return None
    process = Process(**read_json(record))
    return process if _began(process.pid) == process.began else None


def ran_at(pid: int, timestamp: float) -> bool:
    """Whether the process that has this number now is the one that had it at `timestamp` (seconds since the epoch)."""
    began = _began(pid)
    if began is None:
        return False
    since_boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    began_at = time.time() - since_boot + began / os.sysconf("SC_CLK_TCK")
    return began_at <= timestamp + CLOCK_ERROR


def stop(record: Path, seconds: float = 10.0) -> bool:
    """Ends the recorded process and all that it started, also where it is gone itself: with TERM, and after `seconds` with KILL.

    Returns whether there was any. Raises UserError where one does not end.
    """
    process, before = recorded(record), descendants(record)
    if process:
        for how in (signal.SIGTERM, signal.SIGCONT):  # one that was suspended takes no notice before it goes on
            _signal_group(process.pid, how)
        ends = time.monotonic() + seconds
        while recorded(record) and time.monotonic() < ends:
            time.sleep(POLL_SECONDS)
    if leader := _leader(record):
        _signal_group(leader, signal.SIGKILL)
    ends = time.monotonic() + seconds
    while left := descendants(record):
        if time.monotonic() > ends:
            raise UserError(f"Processes of {record.stem} do not end: {', '.join(str(one.pid) for one in left)}.")
        for one in left:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        time.sleep(POLL_SECONDS)
    record.unlink(missing_ok=True)
    return process is not None or bool(before)


def descendants(record: Path) -> list[psutil.Process]:
    """The processes that carry the record's mark."""
    mark, found = str(record.resolve()), []
    for one in psutil.process_iter():
        try:
            if one.pid != os.getpid() and one.environ().get(MARK) == mark:
                found.append(one)
        except psutil.Error:  # gone by now, or another user's
            continue
    return found


def _leader(record: Path) -> int | None:
    """The recorded process's number, as that of its group, unless another process has it by now."""
    if not record.is_file():
        return None
    process = Process(**read_json(record))
    return process.pid if _began(process.pid) in (None, process.began) else None


def _signal_group(leader: int, how: signal.Signals) -> None:
    try:
        os.killpg(leader, how)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise UserError(f"Process {leader} belongs to another user, who alone can stop it.") from error


def _began(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat (man 5 proc), None for a process that is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])
