"""Processes that outlive the command that started them: recorded by pid and start time, found again, stopped with all they started."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from face_assets.core.errors import UserError
from face_assets.core.files import read_json, write_json
from face_assets.core.rights import OWNER_ALONE

OWNER_VARIABLE = "FACE_ASSETS_PROCESS_OF"
"""Environment variable with the record's path, inherited by all that a process starts: the only trace of a killed process's children."""
POLL_SECONDS = 0.1
CLOCK_ERROR = 3600.0  # seconds by which a clock may have been set meanwhile


@dataclass(frozen=True)
class Process:
    """A pid and the start time of its process (clock ticks since boot), since pids are used again."""

    pid: int
    began: int


def start(command: Sequence[str], log: Path, record: Path, environment: Mapping[str, str], cwd: Path) -> Process:
    """Starts `command` in a session of its own, its output appended to `log`, and records it in `record`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    variables = {**environment, OWNER_VARIABLE: str(record.resolve())}
    with open(log, "ab") as output:
        child = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=variables,
            cwd=cwd,
            start_new_session=True,
            umask=OWNER_ALONE,
        )
    process = Process(child.pid, _began(child.pid) or 0)
    write_json(record, asdict(process))
    return process


def recorded(record: Path) -> Process | None:
    """The recorded process if it still runs."""
    if not record.is_file():
        return None
    process = Process(**read_json(record))
    return process if _began(process.pid) == process.began else None


def ran_at(pid: int, timestamp: float) -> bool:
    """True if the process with this pid now is the one that had it at `timestamp` (seconds since the epoch)."""
    began = _began(pid)
    if began is None:
        return False
    since_boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    began_at = time.time() - since_boot + began / os.sysconf("SC_CLK_TCK")
    return began_at <= timestamp + CLOCK_ERROR


def stop(record: Path, seconds: float = 10.0) -> bool:
    """Ends the recorded process and all that it started, even where that process is gone: by TERM, and after `seconds` by KILL.

    Returns whether there was any. Raises UserError where one does not end.
    """
    process, before = recorded(record), descendants(record)
    if process:
        for how in (signal.SIGTERM, signal.SIGCONT):  # a suspended one handles TERM only after CONT
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
    """The running processes whose OWNER_VARIABLE names the record."""
    name, found = str(record.resolve()), []
    for one in psutil.process_iter():
        try:
            if one.pid != os.getpid() and one.environ().get(OWNER_VARIABLE) == name:
                found.append(one)
        except psutil.Error:  # gone by now, or another user's
            continue
    return found


def _leader(record: Path) -> int | None:
    """The recorded pid, which is that of its process group, unless another process has it by now."""
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
    """The start time from field 22 of /proc/PID/stat (man 5 proc), None for a process that is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])
