"""Environment of a user without a name or home directory, as in a container under a bare uid: libraries read both from it."""

import os
import pwd
from pathlib import Path


def name_user(home: Path) -> None:
    """Sets HOME, USER and LOGNAME for this process and its children where the system knows no such user. Entry points call it."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        os.environ.setdefault("HOME", str(home / "user"))
        for variable in ("USER", "LOGNAME"):
            os.environ.setdefault(variable, f"uid-{os.getuid()}")
