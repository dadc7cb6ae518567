"""Acknowledgements: people whom commit messages name in the trailer Acknowledge-Person, which puts a change of them on record."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from face_assets.registry.data_repository import DataRepository
from face_assets.registry.git import git

TRAILER = "Acknowledge-Person"
"""Key of the trailer, in any case; its value is one person's name. Git's own rules for trailers hold: the last paragraph of a message."""
FORMAT = f"--format=%(trailers:key={TRAILER},unfold,separator=%x00)%x00%H%x00%x00"
MOST_COMMITS = 10_000
MOST_NAMES = 100_000
LONGEST_NAME = 1_000  # characters; a person's name has at most 255 bytes


@dataclass(frozen=True)
class Acknowledgement:
    """The names in the trailers of a commit, as they were written."""

    commit: str
    names: tuple[str, ...]


def acknowledgements(repository: DataRepository, commit: str, since: str | None = None) -> list[Acknowledgement]:
    """The acknowledgements of `commit` and its ancestors, without those of `since` and its ancestors, the newest first.

    At most the last MOST_COMMITS commits are read. A value that is empty, or longer than LONGEST_NAME, is no name.
    """
    earlier = (f"^{since}",) if since else ()
    return _read(repository, f"--max-count={MOST_COMMITS}", "--end-of-options", commit, *earlier, "--")


def acknowledged_names(repository: DataRepository, commit: str, since: str | None = None) -> list[str]:
    """The names of `acknowledgements`, each once."""
    return list(dict.fromkeys(name for one in acknowledgements(repository, commit, since) for name in one.names))[:MOST_NAMES]


def acknowledges(repository: DataRepository, commit: str) -> bool:
    """True where the message of this commit acknowledges somebody, or where it is a merge, one of those that it merges."""
    most = (f"--max-count={MOST_COMMITS}", "--ignore-missing")  # the first commit has no parent
    return bool(_read(repository, *most, "--end-of-options", commit, f"^{commit}^1", "--"))


def _read(repository: DataRepository, *which: str) -> list[Acknowledgement]:
    found = []
    for record in repository.git("log", FORMAT, *which).decode(errors="replace").split("\0\0"):
        *trailers, commit = record.strip().split("\0")
        values = (trailer.partition(":")[2].strip() for trailer in trailers)
        names = tuple(value for value in values if value and len(value) <= LONGEST_NAME)
        if names:
            found.append(Acknowledgement(commit, names))
    return found


def trailer(name: str) -> str:
    """The trailer that acknowledges a person."""
    return f"{TRAILER}: {name}"


def with_trailers(message: str, names: Sequence[str], repository: Path) -> str:
    """Returns the message with trailers for these people in its last paragraph, also where it has a line `---`, at which `git commit`
    would put them, and whatever the settings of trailers are. repository: a folder of git."""
    if not names:
        return message
    options = ("--no-divider", "--where=end", "--if-exists=addIfDifferent", "--if-missing=add")
    trailers = (f"--trailer={trailer(name)}" for name in names)
    ended = message.rstrip("\n") + "\n"  # else git puts the trailers into the subject's paragraph
    return git("interpret-trailers", *options, *trailers, cwd=repository, content=ended.encode()).decode()
