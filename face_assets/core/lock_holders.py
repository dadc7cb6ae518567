"""The processes that hold a lock, as Linux lists them in /proc/locks (man 5 proc_locks)."""

from pathlib import Path

import psutil

from face_assets.core.outside_text import one_line

LONGEST_COMMAND = 80


def holders(file: Path) -> str:
    """Names the processes that hold a lock of the file, with their commands; those of other containers and machines are not visible."""
    try:
        inode = str(file.stat().st_ino)
        rows = [line.split() for line in Path("/proc/locks").read_text(encoding="utf-8").splitlines()]
    except OSError:
        rows = []
    pids = sorted({int(row[4]) for row in rows if len(row) > 5 and row[1] in ("FLOCK", "POSIX") and row[5].rpartition(":")[2] == inode})
    return " and ".join(_named(pid) for pid in pids if pid > 0) or "a process of another container or machine"


def _named(pid: int) -> str:
    try:
        command = " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return f"process {pid}"
    return f"process {pid} ({one_line(command, LONGEST_COMMAND)})"
