"""Git commands: one call returns the output or raises an error with git's reason."""

import os
import resource
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from face_assets.core.credentials import without_credentials
from face_assets.core.errors import UserError
from face_assets.core.identifiers import TRANSPORTS
from face_assets.core.outside_text import shown
from face_assets.core.rights import umask_outside

QUIET = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_ASKPASS": "",
    "SSH_ASKPASS_REQUIRE": "never",
    "GIT_HTTP_LOW_SPEED_LIMIT": "1000",  # bytes a second; a slower server is given up after GIT_HTTP_LOW_SPEED_TIME seconds
    "GIT_HTTP_LOW_SPEED_TIME": "30",
    "GIT_ALLOW_PROTOCOL": ":".join(TRANSPORTS),  # ext:: and other helpers start programs from an address
    "GIT_LITERAL_PATHSPECS": "1",  # a path is a path, whatever it begins with
    "LC_ALL": "C",
}
SETTINGS = {  # they override the user's that would change git's output, request a key, or forbid what git does by default
    "log.showSignature": "false",
    "i18n.logOutputEncoding": "UTF-8",
    **{f"color.{what}": "false" for what in ("ui", "advice", "push", "remote", "transport")},
    "commit.gpgSign": "false",
    "push.gpgSign": "false",
    "submodule.recurse": "false",
    "clone.rejectShallow": "false",
    "safe.bareRepository": "all",
    "init.defaultObjectFormat": "sha1",
    "init.defaultRefFormat": "files",
}
OURS = {"core.hooksPath": "/dev/null", "core.autocrlf": "false", "core.fsmonitor": "false", "core.attributesFile": "/dev/null"}
"""Further settings of the platform's own repositories; in those of users, their hooks and line ends apply."""
NO_FILTERS = "* -filter -text -ident -working-tree-encoding\n"
"""Content of info/attributes in our repositories, which outranks committed attributes: bytes stay unchanged, as for Git LFS."""
BOUND = {  # variables that bind git to one repository, as in a hook, or to a format that DVC and GTO do not read
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_ATTR_SOURCE"),
    *("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE", "GIT_REPLACE_REF_BASE"),
    *("GIT_DEFAULT_HASH", "GIT_DEFAULT_REF_FORMAT"),
}
SECONDS = 600.0
"""Time limit of git on this machine; transfers pass their own."""
SSH = "ssh -oBatchMode=yes -oConnectTimeout=10 -oServerAliveInterval=15"


def environment() -> dict[str, str]:
    """This process's environment without the variables that bind git to one repository or format."""
    return {name: value for name, value in os.environ.items() if name not in BOUND}


def config_options(settings: Mapping[str, str]) -> list[str]:
    """Options that set `settings` for one command, and by `git clone` for the repository that it makes."""
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


class GitError(UserError):
    """A git command failed; the message is git's."""


def git(
    *arguments: str | Path,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    seconds: float = SECONDS,
    content: bytes | None = None,
    memory: int | None = None,
) -> bytes:
    """The standard output of a git command with `content` as its input. Raises GitError, also after `seconds`, or beyond `memory` bytes
    of data."""
    command = ["git", *config_options(SETTINGS), *map(str, arguments)]
    variables = {"GIT_SSH_COMMAND": SSH, **environment(), **QUIET, **(env or {})}
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        umask=umask_outside() if "push" in arguments else -1,  # pushes write into a repository that others read
    ) as process:
        if memory:
            with suppress(ProcessLookupError):  # it has ended
                resource.prlimit(process.pid, resource.RLIMIT_DATA, (memory, memory))
        try:
            output, errors = process.communicate(content or b"", timeout=seconds)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)  # with git's helpers, which would go on without it
            if isinstance(error, subprocess.TimeoutExpired):
                raise GitError(f"git {_name(arguments)}: no response within {seconds:g} s") from error
            raise
    if process.returncode:
        raise GitError(f"git {_name(arguments)}: {shown(without_credentials(_reason(errors.decode(errors='replace'))))}")
    return output


def require_identity(repository: Path) -> None:
    """Raises UserError where git knows no name or address for a commit."""
    try:
        for who in ("AUTHOR", "COMMITTER"):
            git("var", f"GIT_{who}_IDENT", cwd=repository)
    except GitError as error:
        cure = '`git config --global user.name "Your Name"` and `git config --global user.email you@example.org`'
        raise UserError(f"Git does not know who you are: {cure}.") from error


def _reason(errors: str) -> str:
    """The line of git's messages with the reason, and the remedy where git names one."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()] or ["no message"]
    strange = next((line for line in lines if "detected dubious ownership" in line), None)
    if strange:
        cure = next((line for line in lines if "safe.directory" in line), "git config --global --add safe.directory PATH")
        return f"{strange}: it belongs to another user. If you trust that user, run `{cure}`"
    rejected = [line for line in lines if line.startswith("! ")]  # the line after it only says that something was
    return (rejected or [line for line in lines if line.startswith(("fatal:", "error:"))] or lines)[-1]


def _name(arguments: Sequence[str | Path]) -> str | Path:
    """The git command among the arguments, which may begin with `-c` options."""
    return next(argument for argument in arguments if argument != "-c" and "=" not in str(argument))
