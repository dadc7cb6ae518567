"""Approval of releases by a second person: a stage tag of production by another git identity than those that made the release.

The rule is applied where stage tags are read, so every way to a deployment passes it. A release is approved from its first such tag until
a tag removes it from production; from then on anybody's tag may put it into production, as a rollback does.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from face_assets.core.outside_text import one_line
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.decision import LONGEST_REASON, read_decision
from face_assets.registry.git import GitError, git
from face_assets.registry.gto_tags import GtoTag
from face_assets.registry.person import PLATFORM, Person
from face_assets.registry.releases import Release

IDENTITIES = "%an <%ae>%n%cn <%ce>%n%(trailers:key=Co-authored-by,valueonly)"


@dataclass(frozen=True)
class Approval:
    """An approval of a release: person, time in ISO 8601, note, and the stage tag with all three."""

    person: Person
    time: str
    note: str
    tag: str

    def __str__(self) -> str:
        return f"{self.person}, {self.time}: {self.note or 'no note'}"


def approved_only(
    repository: DataRepository, tags: Iterable[GtoTag], releases: Mapping[str, Release], stage: str
) -> tuple[list[GtoTag], dict[str, Approval]]:
    """The tags without assignments of unapproved releases to `stage`, and the approvals in force by release commit.

    tags: in the order in which they take effect; releases: by release commit.
    """
    approved: dict[str, Approval] = {}
    kept = []
    for tag in tags:
        release = releases.get(tag.commit)
        if tag.stage != stage or release is None:
            kept.append(tag)
            continue
        if tag.removed:
            approved.pop(tag.commit, None)
            kept.append(tag)
            continue
        if tag.commit not in approved and _approves(repository, tag, release):
            decision = read_decision(tag.message)
            person = Person(one_line(tag.author, LONGEST_REASON), one_line(tag.email, LONGEST_REASON))
            approved[tag.commit] = Approval(person, tag.time, decision.reason, tag.name)
        if tag.commit in approved:
            kept.append(tag)
    return kept, approved


def _approves(repository: DataRepository, tag: GtoTag, release: Release) -> bool:
    return read_decision(tag.message).by == "person" and objection(repository, release, Person(tag.author, tag.email)) is None


def objection(repository: DataRepository, release: Release, who: Person) -> str | None:
    """The reason for which this person may not approve the release; None where the person may."""
    email = _normal(who.email)
    if "@" not in email:
        return f"{who.name or 'a person'} has no mail address in git: `git config --global user.email you@example.org`"
    if email == PLATFORM.email:
        return "nobody is known who approves: `git config --global user.name` and `user.email` name a person, or sign in by mail address"
    try:
        authors = _authors(repository.mirror, release.commit, release.trained_commit)
    except GitError:
        return f"commit {release.trained_commit[:12]} of {release.version} cannot be read, so its authors are unknown"
    if authors & {email, _normal(who.name)}:
        return f"{one_line(str(who), LONGEST_REASON)} made commit {release.trained_commit[:12]}, and nobody approves a commit of their own"
    return None


def _normal(email: str) -> str:
    return email.strip().lower()


@lru_cache(maxsize=4096)
def _authors(mirror: Path, release_commit: str, trained_commit: str) -> frozenset[str]:
    """Mail addresses of authors, committers and co-authors of a release commit, its parents, and the commit that its record names.

    Of a user for whom the web service committed under the platform's address, the name. No .mailmap of the repository changes these
    (%ae, %ce). Raises GitError, which is not cached.
    """
    parents = git("show", "-s", "--format=%P", "--end-of-options", release_commit, cwd=mirror).decode().split()
    commits = dict.fromkeys([release_commit, trained_commit, *parents])
    text = git("log", "--no-walk=unsorted", f"--format={IDENTITIES}", "--end-of-options", *commits, "--", cwd=mirror)
    lines = text.decode(errors="replace").splitlines()
    people = [(name, _normal(rest.partition(">")[0])) for name, _, rest in (line.rpartition("<") for line in lines)]
    return frozenset(_normal(name) if email == PLATFORM.email else email for name, email in people) - {"", _normal(PLATFORM.name)}
