"""Atomic writes of files and folders (temporary name, fsync, rename), and locks between processes."""

import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from face_assets.core.errors import UnreachableError, UserError
from face_assets.core.full_disk import is_full

PRIVATE = 0o600  # state is private to its owner, whatever the umask
SHARED = 0o666  # a file in a folder of the user's: the umask decides
LOCK_SECONDS = 1800.0
"""Time limit of a lock around minutes of work, such as a fetch; longer work passes its own."""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.005, 0.25
PARTIAL = ".partial-"
"""Prefix of a folder that is being written or removed."""


def fsync_directory(directory: Path) -> None:
    """Makes renames within `directory` survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def new_file(path: Path, mode: int = PRIVATE) -> Iterator[BinaryIO]:
    """A file to fill, which replaces `path` when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    fsync_directory(path.parent)


def write_bytes(path: Path, content: bytes, mode: int = PRIVATE) -> None:
    """Replaces `path` with `content`, whole or not at all."""
    with new_file(path, mode) as file:
        file.write(content)


def write_text(path: Path, content: str, mode: int = PRIVATE) -> None:
    """Replaces `path` with `content` in UTF-8, whole or not at all."""
    write_bytes(path, content.encode(), mode)


def write_json(path: Path, value: Any, mode: int = PRIVATE) -> None:
    """Replaces `path` with `value` as readable JSON with sorted keys."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", mode)


def read_json(path: Path) -> Any:
    """The value in a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def read_content(path: Path, md5: str) -> bytes:
    """The bytes of a file that is named by its md5. Raises UserError where they have another, so that no verdict on them is stored."""
    content = path.read_bytes()
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
        raise UserError(f"{path} is damaged: its content is not that of md5 {md5}. Delete it, so that it is fetched again, and run again.")
    return content


def link_or_copy(source: str | Path, target: str | Path) -> None:
    """Makes a hard link, which takes no space on the disk; a copy where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def fsync_tree(directory: Path) -> None:
    """Fsyncs every file and folder below `directory`."""
    for root, _, names in os.walk(directory):
        for name in names:
            with open(os.path.join(root, name), "rb") as file:
                os.fsync(file.fileno())
        fsync_directory(Path(root))


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """Creates a directory to fill. It is renamed to `path` when the block ends without an error, and removed if `path` exists by then.

    A killed process leaves a `.partial-*` folder next to `path`, which nothing reads; a caller with a lock can `remove_partial` it.
    Raises OSError where the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f"{PARTIAL}{path.name}-", dir=path.parent))
    try:
        yield aside
        fsync_tree(aside)
        try:
            os.rename(aside, path)
        except OSError:
            if not path.is_dir():
                raise
        fsync_directory(path.parent)
    except Exception as error:
        if is_full(aside) and not (isinstance(error, OSError) and error.errno):  # checked before the files are removed
            raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {error}", str(path)) from error
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def remove_partial(path: Path) -> None:
    """Removes what killed processes left of `new_directory(path)`. The caller's lock excludes that a process fills it now."""
    for left in path.parent.glob(f"{PARTIAL}{path.name}-*"):
        shutil.rmtree(left, ignore_errors=True)


def lock_path(path: Path) -> Path:
    """Path of the file that is locked while `path` is made or used."""
    return path.with_name(f".{path.name}.lock")


@contextmanager
def file_lock(path: Path, shared: bool = False, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Waits for a lock and keeps it until the block or the process ends; `shared`: together with other shared users.

    The file's mtime is the time of the last lock. Raises UnreachableError that names the holder where it is not free within `seconds`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+", encoding="utf-8") as file:  # opened for reading, too, as NFS needs it for a shared lock
        _take(file.fileno(), fcntl.LOCK_SH if shared else fcntl.LOCK_EX, path, seconds)
        os.utime(file.fileno())
        yield


def _take(descriptor: int, how: int, path: Path, seconds: float) -> None:
    ends, pause = time.monotonic() + seconds, SHORTEST_PAUSE
    while True:
        try:
            return fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= ends:
                from face_assets.core.lock_holders import holders

                raise UnreachableError(
                    f"The lock {path} was not free within {seconds:g} s: {holders(path)} has it. Wait for that or end it, and run again."
                ) from error
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


@contextmanager
def free_lock(path: Path) -> Iterator[None]:
    """Takes the lock if it is free, else raises BlockingIOError. The mtime stays, for the caller does not use what the lock guards."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    with open(path, "a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if is_new:
            os.utime(file.fileno(), (0, 0))
        yield


def is_locked(path: Path) -> bool:
    """True while a process holds the lock."""
    try:
        with open(path, "r+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (FileNotFoundError, NotADirectoryError):
        return False
    return False
