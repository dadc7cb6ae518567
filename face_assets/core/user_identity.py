"""A user without a name or a home, as in a container that runs under a bare number: libraries get both from the environment."""

import os
import pwd
from pathlib import Path


def name_user(home: Path) -> None:
    """Sets HOME, USER and LOGNAME for this process and its children where the system knows no such user; for an entry point to call."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        os.environ.setdefault("HOME", str(home / "user"))
        for variable in ("USER", "LOGNAME"):
            os.environ.setdefault(variable, f"uid-{os.getuid()}")
