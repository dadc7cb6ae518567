"""Identity of the person who decides on this machine, from git."""

import re
from dataclasses import dataclass
from pathlib import Path

from face_assets.registry.git import GitError, git
from face_assets.registry.release_commits import AUTHOR, EMAIL

IDENTITY = re.compile(r"(?P<name>.*?) ?<(?P<email>[^<>]*)> \d+ [+-]\d{4}")


@dataclass(frozen=True)
class Person:
    """A name and a mail address, as git writes them into tags."""

    name: str
    email: str

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>"


PLATFORM = Person(AUTHOR, EMAIL)


def git_identity(folder: Path) -> Person:
    """The identity of git's settings and variables in `folder`; the platform's where there is none. Git guesses none."""
    try:
        identity = git("-c", "user.useConfigOnly=true", "var", "GIT_COMMITTER_IDENT", cwd=folder).decode(errors="replace").strip()
    except GitError:
        return PLATFORM
    found = IDENTITY.fullmatch(identity)
    return Person(found["name"] or PLATFORM.name, found["email"] or PLATFORM.email) if found else PLATFORM
