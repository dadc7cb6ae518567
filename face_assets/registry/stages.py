"""Stages: the release in production, by GTO's tags in the data repository."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from face_assets.core.errors import RefusedError, UserError
from face_assets.core.files import file_lock
from face_assets.core.outside_text import one_line
from face_assets.registry.approval import Approval, approved_only, objection
from face_assets.registry.decision import LONGEST_REASON, Decision, read_decision
from face_assets.registry.gto_tags import NAME, GtoTag, Registry, read_tags, refused_tags, write_tag
from face_assets.registry.person import PLATFORM, Person
from face_assets.registry.release_commits import push_tag
from face_assets.registry.releases import Release, Releases

TRIES = 5
SECONDS_AHEAD = 60
MOST = 10**12  # a longer number in a tag would lead to names that are too long for git
PRODUCTION = "production"
WAITING = "waiting"
"""The stage of releases that passed the gate while a person's decision about production holds."""
CANDIDATE = "candidate"
"""The stage of releases that passed the gate and need the approval of a second person."""


@dataclass(frozen=True)
class Assignment:
    """A stage tag: the release that it puts into the stage or removes (`gone`), its author, time and message."""

    release: Release
    tag: str
    author: str
    time: str
    message: str
    gone: bool = False
    email: str = ""
    when: int = 0

    @cached_property
    def decision(self) -> Decision:
        """The decision in the tag's message."""
        return read_decision(self.message)

    @property
    def place(self) -> tuple[int, str]:
        """The rank among all tags: GTO orders them by time."""
        return self.when, self.tag

    @property
    def commit(self) -> str:
        """The commit of the assignment: the one that the gate names, else the one that the release was trained from."""
        return self.decision.commit or self.release.trained_commit


class Stages:
    """The stages of the releases of a data repository. approval_required: tags put a release into production only after its approval."""

    def __init__(self, releases: Releases, approval_required: bool = False):
        self.releases = releases
        self.repository = releases.repository
        self.approval_required = approval_required

    def history(self, stage: str = "production") -> list[Assignment]:
        """Every assignment of the stage, oldest first, as of the last refresh; tags of other commits are left out."""
        by_commit = {release.commit: release for release in self.releases.all()}
        return [_assignment(tag, by_commit) for tag in self._tags() if tag.stage == stage and tag.commit in by_commit]

    def effective(self, stage: str = "production") -> list[Assignment]:
        """The assignments that took effect, oldest first: without those removed or rolled back by a machine, and without that rollback."""
        found: list[Assignment] = []
        for assignment in self.history(stage):
            if assignment.gone:
                found = [one for one in found if one.release.commit != assignment.release.commit]
            elif assignment.decision.is_rollback_by_machine:
                found = _without_last(found)
                if not found or found[-1].release.commit != assignment.release.commit:
                    found.append(assignment)
            else:
                found.append(assignment)
        return found

    def previous(self, now: Assignment, stage: str = "production") -> Assignment | None:
        """The previous release's assignment, which a rollback returns to; None where there is none."""
        earlier = [one for one in self.effective(stage) if one.release.commit != now.release.commit]
        return earlier[-1] if earlier else None

    def line(self, stage: str = PRODUCTION) -> list[Assignment]:
        """The assignments that took effect since the last decision of a person, who may take a change knowingly; the newest first, and that
        decision last. The approval of what the gate let through is none."""
        found = []
        for assignment in reversed(self.effective(stage)):
            found.append(assignment)
            if assignment.decision.by == "person" and not assignment.decision.approves:
                break
        return found

    def production(self) -> Assignment | None:
        """The assignment in production, None where there is none."""
        return self._current("production")

    def hold(self) -> Assignment | None:
        """The last decision about production, if a person made it and it holds; None where production follows commits."""
        last = self.last()
        return last if last and last.decision.holds else None

    def waiting(self) -> Assignment | None:
        """The last release that passed the gate since a decision holds production, unless it is in production now."""
        if not self.hold():
            return None
        since = max((one.place for one in self._decisions(PRODUCTION) if not one.decision.holds), default=(0, ""))
        return self._pending(WAITING, since)

    def candidate(self) -> Assignment | None:
        """The last release that passed the gate and needs approval, unless production was decided about it since."""
        return self._pending(CANDIDATE, (0, "")) if self.approval_required else None

    def _pending(self, stage: str, since: tuple[int, str]) -> Assignment | None:
        """The last release assigned to `stage` after `since`, unless it is in production, or a later tag of production names it."""
        last = next((one for one in reversed(self.history(stage)) if not one.gone and one.place > since), None)
        now = self.production()
        if last is None or (now and now.release.commit == last.release.commit):
            return None
        decided = (one for one in self._decisions(PRODUCTION) if one.release.commit == last.release.commit)
        return None if any(one.place > last.place for one in decided) else last

    def approval(self, release: Release) -> Approval | None:
        """The approval of a release that is in force; None without one, and where none is required."""
        return self._read()[1].get(release.commit) if self.approval_required else None

    def unsigned(self) -> str | None:
        """A message where tags of releases and stages do not count for want of a signature; else None."""
        refused = refused_tags(self.repository)
        if not refused:
            return None
        tag, reason = refused[-1]
        others = f", nor do {len(refused) - 1} others" if len(refused) > 1 else ""
        signers = self.repository.signing.signers
        return f"{tag.name} does not count{others}: {reason}. FACE_ASSETS_ALLOWED_SIGNERS names who may sign: {signers}."

    def unapproved(self) -> str | None:
        """A message where GTO shows a release in production that nobody else approved, where that is required; else None."""
        by_commit = {release.commit: release for release in self.releases.all()}
        tag = Registry.of(read_tags(self.repository)).assigned(PRODUCTION, by_commit) if self.approval_required else None
        if tag is None or tag.commit in self._read()[1]:
            return None
        release = by_commit[tag.commit]
        reason = objection(self.repository, release, Person(one_line(tag.author), one_line(tag.email))) or "the platform set the tag"
        return (
            f"{tag.name} puts {release.version} into production without the approval of a second person, and stays out: {reason}. "
            f"`face-assets approve {release.version}` by another person approves it."
        )

    def by_gate(self, release: Release) -> list[Assignment]:
        """The assignments by which a gate ever let the release through, oldest first, also those that needed an approval."""
        tags = [tag for tag in read_tags(self.repository) if tag.stage in (PRODUCTION, WAITING, CANDIDATE) and tag.commit == release.commit]
        assignments = (_assignment(tag, {release.commit: release}) for tag in tags if not tag.removed)
        return [one for one in assignments if one.decision.by == "gate"]

    def last(self, stage: str = PRODUCTION) -> Assignment | None:
        """The last tag that changed or confirmed the stage, an assignment or a removal."""
        return next(reversed(list(self._decisions(stage))), None)

    def _decisions(self, stage: str) -> Iterator[Assignment]:
        """Yields the tags that took effect when they were set: the removal of a release that is not in the stage has none."""
        by_commit = {release.commit: release for release in self.releases.all()}
        tags = self._tags()
        registry, now = Registry.of(tag for tag in tags if tag.stage is None), None
        for tag in tags:
            if tag.stage == stage and tag.commit in by_commit:
                registry.add(tag)
                before, now = now, registry.assigned(stage, by_commit)
                if not tag.removed or before != now:
                    yield _assignment(tag, by_commit)

    def _tags(self) -> list[GtoTag]:
        """The tags that count, by time; within one second removals last, since they win."""
        return self._read()[0]

    def _read(self) -> tuple[list[GtoTag], dict[str, Approval]]:
        """The tags that count, by time, and the approvals in force by release commit, where they are required."""
        tags = sorted(read_tags(self.repository), key=lambda tag: (tag.when, tag.removed))
        if not self.approval_required:
            return tags, {}
        by_commit = {release.commit: release for release in self.releases.all()}
        return approved_only(self.repository, tags, by_commit, PRODUCTION)

    def _current(self, stage: str) -> Assignment | None:
        """The assignment in force by GTO's rules, among the platform's releases."""
        by_commit = {release.commit: release for release in self.releases.all()}
        tag = Registry.of(self._tags()).assigned(stage, by_commit)
        return _assignment(tag, by_commit) if tag else None

    def foreign(self, stage: str = PRODUCTION) -> str | None:
        """A message where GTO shows another commit than a release of the platform in the stage, else None."""
        tag = Registry.of(read_tags(self.repository)).assigned(stage)
        if tag is None or any(release.commit == tag.commit for release in self.releases.all()):
            return None
        return (
            f"{tag.name} puts commit {tag.commit[:12]} into {stage}, which is no release of this platform and stays out: "
            f"`git push --delete` the tag, or `face-assets promote` a release."
        )

    def ahead(self) -> str | None:
        """A message where a tag is dated in the future, since until then GTO takes every other tag for an older one; else None."""
        latest = max(read_tags(self.repository), key=lambda tag: tag.when, default=None)
        if latest is None or latest.when <= time.time() + SECONDS_AHEAD:
            return None
        return (
            f"{latest.name} by {one_line(latest.author)} is dated {latest.time}, ahead of this machine's clock: until then `gto` changes "
            "nothing, for it goes by the dates of tags. `face-assets promote` and `rollback` do; set the clock that is wrong."
        )

    def assign(
        self,
        version: str,
        message: str,
        who: Person = PLATFORM,
        stage: str = PRODUCTION,
        again: bool = False,
        condition: Callable[[], bool] = lambda: True,
    ) -> Assignment | None:
        """Puts a release into the stage, an older one too (a rollback).

        Returns None where it is in the stage, unless that is to be recorded `again`, and where `condition` is false on the refreshed
        repository. Raises RefusedError where the release needs an approval that this tag is not, and UserError.
        """
        with file_lock(self.repository.home / ".stage.lock"):
            for _ in range(TRIES):
                self.repository.refresh()
                release = self.releases.get(version)
                now = self._current(stage)
                if not condition() or (now and now.release.commit == release.commit and not again):
                    return None
                self._require_approval(release, message, who, stage)
                tags = read_tags(self.repository)
                name = f"{NAME}#{stage}#{max((tag.number for tag in tags if tag.number < MOST), default=0) + 1}"
                when = _after(max((tag.when for tag in tags if tag.stage), default=0))
                tag_object = write_tag(
                    self.repository.mirror,
                    name,
                    release.commit,
                    message,
                    who.name,
                    who.email,
                    when,
                    self.repository.signing,
                    who != PLATFORM,
                )
                if push_tag(self.repository, self.repository.mirror, name, tag_object):
                    self.repository.refresh()
                    return self._current(stage)
        raise self._contended(stage)

    def _require_approval(self, release: Release, message: str, who: Person, stage: str) -> None:
        if stage != PRODUCTION or not self.approval_required or self.approval(release):
            return
        by_person = read_decision(message).by == "person"
        reason = objection(self.repository, release, who) if by_person else "the platform itself may not approve"
        if reason:
            raise RefusedError(
                f"{release.version} does not go into production of {self.repository.shown}: it needs the approval of a second person, and "
                f"{reason}. Another person calls `face-assets approve {release.version}`."
            )

    def _contended(self, stage: str) -> UserError:
        return UserError(
            f"Another machine keeps assigning {stage} in {self.repository.shown}: look at `face-assets status`, then run again."
        )


def _assignment(tag: GtoTag, by_commit: Mapping[str, Release]) -> Assignment:
    author, email = one_line(tag.author, LONGEST_REASON), one_line(tag.email, LONGEST_REASON)
    return Assignment(by_commit[tag.commit], tag.name, author, tag.time, tag.message, tag.removed, email, tag.when)


def _after(last: int) -> int:
    """A time in whole seconds after `last`, by which GTO orders two tags; waits for it, unless the clock that set `last` is far ahead."""
    pause = last + 1 - time.time()
    if 0 < pause <= 1:
        time.sleep(pause)
    return max(int(time.time()), last + 1)


def _without_last(assignments: list[Assignment]) -> list[Assignment]:
    """The assignments without those of the last release at the end, which may have been assigned several times in a row."""
    last = assignments[-1:]
    while assignments and assignments[-1].release.commit == last[0].release.commit:
        assignments = assignments[:-1]
    return assignments
