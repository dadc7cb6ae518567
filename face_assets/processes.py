"""Processes that outlive the command that started them: recorded by pid and start time, found again, stopped."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from face_assets.files import read_json, write_json

POLL_SECONDS = 0.1
CLOCK_ERROR = 3600.0  # seconds by which a clock may have been set meanwhile


@dataclass(frozen=True)
class Process:
    """A process and the moment it began (clock ticks since boot), since pids are used again."""

    pid: int
    began: int


def start(command: Sequence[str], log: Path, record: Path, environment: Mapping[str, str], cwd: Path) -> Process:
    """Starts `command` in a session of its own, its output appended to `log`, and records it in `record`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as output:
        child = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=dict(environment), cwd=cwd, start_new_session=True
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
    """Whether the process that has this number now is the one that had it at `timestamp` (seconds since the epoch)."""
    began = _began(pid)
    if began is None:
        return False
    since_boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    began_at = time.time() - since_boot + began / os.sysconf("SC_CLK_TCK")
    return began_at <= timestamp + CLOCK_ERROR


def stop(record: Path, seconds: float = 10.0) -> bool:
    """Ends the recorded process and its session, with TERM and after `seconds` with KILL. Returns whether there was one."""
    process = recorded(record)
    if process:
        for how in (signal.SIGTERM, signal.SIGKILL):
            _signal_group(process.pid, how)
            ends = time.monotonic() + seconds
            while recorded(record) and time.monotonic() < ends:
                time.sleep(POLL_SECONDS)
        _signal_group(process.pid, signal.SIGKILL)
    record.unlink(missing_ok=True)
    return process is not None


def _signal_group(leader: int, how: signal.Signals) -> None:
    try:
        os.killpg(leader, how)
    except ProcessLookupError:
        return


def _began(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat (man 5 proc), None for a process that is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


def stop_orphans(record: Path) -> None:
    """Ends what is left of the recorded process's session after the process itself was killed."""
    if not record.is_file():
        return
    process = Process(**read_json(record))
    if _began(process.pid) is None:  # otherwise it runs, or another process has its pid by now
        _signal_group(process.pid, signal.SIGKILL)
        record.unlink(missing_ok=True)
