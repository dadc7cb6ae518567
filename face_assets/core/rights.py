"""Permissions of files: state is private to its owner; files in other places follow the user's umask."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OWNER_ALONE = 0o077
UMASK = "FACE_ASSETS_UMASK"
"""Environment variable with the user's umask, for processes that inherit ours."""
STATE_ENTRIES = ("settings.json", "dagster", "artifacts")


def keep_private(home: Path) -> None:
    """Makes what this process and its children write from now on, and the state directory, private to the user. Entry points call it."""
    os.environ.setdefault(UMASK, f"{os.umask(OWNER_ALONE):03o}")
    _close(home)


def umask_outside() -> int:
    """The user's umask, as `subprocess` takes it for a program that writes to other places; -1 for that of this process."""
    return int(os.environ.get(UMASK, "-1"), 8)


@contextmanager
def outside() -> Iterator[None]:
    """Applies the user's umask in the block, for files in a data repository or DVC remote, or a page that the user wants."""
    theirs = umask_outside()
    ours = os.umask(theirs) if theirs >= 0 else None  # without `keep_private` it is the user's already
    try:
        yield
    finally:
        if ours is not None:
            os.umask(ours)


def _close(home: Path) -> None:
    """Makes a state directory private that is open to everybody, as earlier versions made it. One open to a group was opened on purpose."""
    try:
        found = home.stat()
        is_open = found.st_mode & 0o007 and found.st_uid == os.geteuid()
        if is_open and any((home / name).exists() for name in STATE_ENTRIES):
            home.chmod(0o700)
    except OSError:  # it does not exist yet or cannot be read: whoever needs it reports that
        return
