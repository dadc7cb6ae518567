"""Rights of files: state is its owner's alone; what is written to other places follows the umask of the person."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OWNER_ALONE = 0o077
UMASK = "FACE_ASSETS_UMASK"
"""The variable by which a process that we start learns the person's umask, since it inherits ours."""
SIGNS_OF_A_HOME = ("settings.json", "dagster", "artifacts")


def keep_private(home: Path) -> None:
    """From now on only the user reads what this process and its children write, and the home; for an entry point to call."""
    os.environ.setdefault(UMASK, f"{os.umask(OWNER_ALONE):03o}")
    _close(home)


def umask_outside() -> int:
    """The person's umask, as `subprocess` takes it for a program that writes to other places; -1 for that of this process."""
    return int(os.environ.get(UMASK, "-1"), 8)


@contextmanager
def outside() -> Iterator[None]:
    """Meanwhile files get the rights that the person's umask says: for a data repository, a DVC remote, a page that was asked for."""
    persons = umask_outside()
    ours = os.umask(persons) if persons >= 0 else None  # without `keep_private` it is the person's already
    try:
        yield
    finally:
        if ours is not None:
            os.umask(ours)


def _close(home: Path) -> None:
    """Closes a home that was made open to everybody, as those of earlier versions are. One that is open to a group was opened by hand."""
    try:
        found = home.stat()
        is_open = found.st_mode & 0o007 and found.st_uid == os.geteuid()
        if is_open and any((home / name).exists() for name in SIGNS_OF_A_HOME):
            home.chmod(0o700)
    except OSError:  # not there yet, or not to be read: whoever needs it says so
        return
