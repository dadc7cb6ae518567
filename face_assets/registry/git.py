"""Git as the registry uses it: one call, its output or a sentence."""

import os
import subprocess
from pathlib import Path

from face_assets.errors import UserError

QUIET = {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}


def environment() -> dict[str, str]:
    """This process's environment without what binds git to one repository, as in a hook."""
    return {name: value for name, value in os.environ.items() if name not in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")}


class GitError(UserError):
    """A git command that failed, with git's own last words."""


def git(*arguments: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None, seconds: float | None = None) -> bytes:
    """The standard output of a git command. Raises GitError, also when it takes more than `seconds`."""
    command = ["git", *map(str, arguments)]
    try:
        done = subprocess.run(
            command, cwd=cwd, env={**environment(), **QUIET, **(env or {})}, capture_output=True, check=False, timeout=seconds
        )
    except subprocess.TimeoutExpired as error:
        raise GitError(f"git {command[1]}: no answer within {seconds:g} s") from error
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        telling = [line for line in lines if line.startswith(("fatal:", "error:", " ! "))] or lines
        name = next(argument for argument in command[1:] if argument != "-c" and "=" not in argument)
        raise GitError(f"git {name}: {telling[-1].strip()}")
    return done.stdout
