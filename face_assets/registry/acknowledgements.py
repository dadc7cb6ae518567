"""Acknowledgements: people whom commit messages name in the trailer Acknowledge-Person, which puts a change of them on record."""

from face_assets.registry.data_repository import DataRepository

TRAILER = "Acknowledge-Person"
"""Key of the trailer, in any case; its value is one person's name. Git's own rules for trailers hold: the last paragraph of a message."""
FORMAT = f"--format=%(trailers:key={TRAILER},valueonly,unfold,separator=%x00)%x00"
MOST_COMMITS = 10_000
MOST_NAMES = 100_000
LONGEST_NAME = 1_000  # characters; a person's name has at most 255 bytes


def acknowledged_names(repository: DataRepository, commit: str, since: str | None = None) -> list[str]:
    """Names in the trailers of `commit` and its ancestors, as they were written, without those of `since` and its ancestors.

    At most the last MOST_COMMITS commits are read. A value that is empty, or longer than LONGEST_NAME, is no name.
    """
    earlier = (f"^{since}",) if since else ()
    return _names(repository, f"--max-count={MOST_COMMITS}", "--end-of-options", commit, *earlier, "--")


def acknowledges(repository: DataRepository, commit: str) -> bool:
    """True where the message of this commit acknowledges somebody, or where it is a merge, one of those that it merges."""
    most = (f"--max-count={MOST_COMMITS}", "--ignore-missing")  # the first commit has no parent
    return bool(_names(repository, *most, "--end-of-options", commit, f"^{commit}^1", "--"))


def _names(repository: DataRepository, *which: str) -> list[str]:
    values = (value.strip() for value in repository.git("log", FORMAT, *which).decode(errors="replace").split("\0"))
    return list(dict.fromkeys(value for value in values if value and len(value) <= LONGEST_NAME))[:MOST_NAMES]


def trailer(name: str) -> str:
    """The trailer that acknowledges a person."""
    return f"{TRAILER}: {name}"
