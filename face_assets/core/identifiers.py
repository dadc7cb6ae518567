"""Names from outside, parsed into types before they become part of a path or a command: commits, revisions, versions, repositories, paths.

Partition keys, arguments, settings, pointers and tags are written by others. Each parser returns the text as its type, or raises
UserError whose message quotes it, shortened and without control characters.
"""

import re
from pathlib import Path, PurePosixPath
from typing import NewType

from face_assets.core.credentials import without_credentials
from face_assets.core.errors import UserError
from face_assets.core.yaml_io import expanded, is_path

CommitId = NewType("CommitId", str)
"""A full commit id: 40 hexadecimal digits."""
Revision = NewType("Revision", str)
"""A name of a commit as git reads it, such as main~2; it may name none."""
Version = NewType("Version", str)
"""A release's version, such as v1.2.3."""
Source = NewType("Source", str)
"""A data repository as git reaches it: an absolute path, or an address of TRANSPORTS."""
TrackedPath = NewType("TrackedPath", str)
"""A file's path below a repository's root or a tracked folder, normalized: no `..`, no doubled or trailing slash."""

COMMIT_ID = re.compile(r"[0-9a-f]{40}")
REVISION = re.compile(r"[^-\x00-\x1f\x7f\ud800-\udfff][^\x00-\x1f\x7f\ud800-\udfff]{0,255}")
VERSION = re.compile(r"v(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})", re.ASCII)
TRANSPORTS = ("file", "ssh", "git", "http", "https")
SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
HELPER = re.compile(r"[a-z0-9+.-]*::", re.IGNORECASE)
"""Start of an address that git passes to a program, as ext:: passes it to the shell."""
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
LONGEST_SOURCE, SHOWN = 4096, 80


def commit_id(text: str) -> CommitId:
    """The text as a full commit id. Raises UserError."""
    if not COMMIT_ID.fullmatch(text):
        raise UserError(f"{quoted(text)} is not a full commit id: `git rev-parse` prints the 40 digits of a commit.")
    return CommitId(text)


def revision(text: str) -> Revision:
    """The text as a name that git may look up. Raises UserError."""
    if not REVISION.fullmatch(text):
        raise UserError(f"{quoted(text)} names no commit: name a branch, a tag or a commit id.")
    return Revision(text)


def version(text: str) -> Version:
    """The text as a release's version. Raises UserError."""
    if not VERSION.fullmatch(text):
        raise UserError(f"{quoted(text)} is not a version such as v1.2.3; `face-assets releases` lists what is registered.")
    return Version(text)


def source(text: str) -> tuple[Source, Path | None]:
    """The repository's address, and its path where it lies on this machine. Raises UserError."""
    if not text or len(text) > LONGEST_SOURCE or CONTROL.search(text):
        raise UserError(f"The data repository {quoted(text)} is neither a path nor a git URL.")
    here = expanded(text)
    try:
        local = here.resolve() if here.exists() else None
    except OSError:  # a part too long for a file's name, or a folder that may not be read: git's own message names it
        local = None
    if local:
        return Source(str(local)), local
    scheme = SCHEME.match(text)
    if text.startswith("-") or HELPER.match(text) or (scheme and scheme[1].lower() not in TRANSPORTS):
        raise UserError(f"The data repository {quoted(text)} is neither a path that exists nor an address of {', '.join(TRANSPORTS)}.")
    return Source(text), None


def tracked_path(text: object) -> TrackedPath:
    """A path as pointers, listings and params.yaml name files. Raises UserError."""
    if not isinstance(text, str) or not is_path(text) or text != PurePosixPath(text).as_posix() or not is_below(text):
        raise UserError(f"{quoted(text)} is not a path within the repository: no `..`, no leading slash, no control characters.")
    return TrackedPath(text)


def is_below(path: str) -> bool:
    """True for a normalized path that stays in the folder that it is relative to."""
    return path != "." and not path.startswith("/") and ".." not in path.split("/")


def quoted(value: object) -> str:
    """A value from outside as messages show it: quoted, shortened, without control characters and passwords."""
    if isinstance(value, str):
        return repr(without_credentials(value if len(value) <= SHOWN else f"{value[:SHOWN]}…"))
    return f"a value of the type {type(value).__name__}"
