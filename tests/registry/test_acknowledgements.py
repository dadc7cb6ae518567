"""Acknowledgements: trailers of commit messages by git's rules, within a range of commits, and bounded where names are hostile."""

from pathlib import Path

from face_assets.core.settings import remember
from face_assets.registry.acknowledgements import LONGEST_NAME, acknowledged_names, acknowledgements, acknowledges
from face_assets.registry.git import git
from face_assets.registry.workspace import Workspace


def commit(clone: Path, message: str) -> str:
    git("commit", "-q", "--allow-empty", "-m", message, cwd=clone)
    return git("rev-parse", "HEAD", cwd=clone).decode().strip()


def test_trailers_of_the_commits_since_another_count(repository: Path, home: Path) -> None:
    remember(repo=str(repository))
    before = commit(repository, "Earlier\n\nAcknowledge-Person: Long Gone")
    first = commit(
        repository, "One\n\nSigned-off-by: Bob <bob@example.org>\nacknowledge-person:   Zoë Müller-山田  \nAcknowledge-Person: Ann Other"
    )
    prose = commit(repository, "Two\n\nAcknowledge-Person: Not Last\n\nThe last paragraph is prose.")
    last = commit(repository, "Three\n\nAcknowledge-Person: Ann Other\nAcknowledge-Person: A: B, C=D and\n  a second line")
    mirror = Workspace.load().repository
    mirror.refresh()
    assert acknowledged_names(mirror, last, before) == ["Ann Other", "A: B, C=D and a second line", "Zoë Müller-山田"]
    assert "Long Gone" in acknowledged_names(mirror, last)
    assert acknowledged_names(mirror, last, last) == []
    assert [one.commit for one in acknowledgements(mirror, last, before)] == [last, first]
    assert acknowledges(mirror, last) and not acknowledges(mirror, prose)


def test_a_merge_acknowledges_whom_its_branch_does(repository: Path, home: Path) -> None:
    remember(repo=str(repository))
    branch = git("symbolic-ref", "--short", "HEAD", cwd=repository).decode().strip()
    git("switch", "-q", "-c", "topic", cwd=repository)
    commit(repository, "Ann is meant\n\nAcknowledge-Person: Ann")
    git("switch", "-q", branch, cwd=repository)
    git("merge", "-q", "--no-ff", "-m", "Merge the branch", "topic", cwd=repository)
    merge = git("rev-parse", "HEAD", cwd=repository).decode().strip()
    later = commit(repository, "Something else")
    mirror = Workspace.load().repository
    mirror.refresh()
    assert acknowledges(mirror, merge) and not acknowledges(mirror, later)


def test_hostile_names_are_bounded(repository: Path, home: Path) -> None:
    remember(repo=str(repository))
    long = "x" * (LONGEST_NAME + 1)
    made = commit(
        repository, f"One\n\nAcknowledge-Person: {long}\nAcknowledge-Person:\nAcknowledge-Person: --exec=rm\nAcknowledge-Person: \x1b[2J"
    )
    mirror = Workspace.load().repository
    mirror.refresh()
    assert acknowledged_names(mirror, made) == ["--exec=rm", "\x1b[2J"]
