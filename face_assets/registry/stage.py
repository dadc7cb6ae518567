"""Stages: which release is in production, as GTO's stage tags in the data repository say."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from face_assets.errors import UserError
from face_assets.files import file_lock
from face_assets.registry.decision import Decision, one_line, read_decision
from face_assets.registry.person import PLATFORM, Person
from face_assets.registry.release import NAME, Release, Releases, push_tags

STAGE = re.compile(rf"^{NAME}#(?P<stage>[a-z0-9-]+)(?P<gone>!?)#(?P<number>[0-9]{{1,18}})$")
FACTS = ("refname:lstrip=2", "*objectname", "taggername", "taggeremail:trim", "taggerdate:iso-strict", "contents")
FIELDS = "%00".join(f"%({fact})" for fact in FACTS) + "%00%00"
TRIES = 5
PRODUCTION = "production"
WAITING = "waiting"
"""The stage of what the gate let through while a person's decision about production holds."""


@dataclass(frozen=True)
class Assignment:
    """A stage tag: which release it puts into the stage, or takes out (`gone`), who set it, when and why."""

    release: Release
    tag: str
    author: str
    time: str
    message: str
    gone: bool = False
    email: str = ""

    @cached_property
    def decision(self) -> Decision:
        """Who decided, and why."""
        return read_decision(self.message)

    @property
    def number(self) -> int:
        """The place among all stage tags: GTO counts them together."""
        return int(self.tag.rpartition("#")[2])

    @property
    def commit(self) -> str:
        """The commit that the release was assigned for: the one that the gate names, else the one it was trained from."""
        return self.decision.commit or self.release.trained_commit


class Stages:
    """The stages of the releases of a data repository."""

    def __init__(self, releases: Releases):
        self.releases = releases
        self.repository = releases.repository

    def history(self, stage: str = "production") -> list[Assignment]:
        """Every assignment of the stage, oldest first, as of the last refresh; tags that name no release of ours are left out."""
        by_commit = {release.commit: release for release in self.releases.all()}
        found = []
        listing = self.repository.git("for-each-ref", f"--format={FIELDS}", f"refs/tags/{NAME}#{stage}*").decode(errors="replace")
        for row in listing.split("\0\0\n"):
            if not row.strip():
                continue
            tag, commit, author, email, when, message = (row.split("\0") + [""] * 6)[:6]
            parsed = STAGE.match(tag)
            if parsed and parsed["stage"] == stage and commit in by_commit:
                gone = bool(parsed["gone"])
                assignment = Assignment(by_commit[commit], tag, one_line(author), when, message.strip(), gone, one_line(email))
                found.append((int(parsed["number"]), assignment))
        return [assignment for _, assignment in sorted(found, key=lambda pair: pair[0])]

    def held(self, stage: str = "production") -> list[Assignment]:
        """The assignments that held, oldest first: without those taken out again or rolled back by a machine, and without that rollback."""
        held: list[Assignment] = []
        for assignment in self.history(stage):
            if assignment.gone:
                if held and held[-1].release.commit == assignment.release.commit:
                    held = _without_last(held)
            elif assignment.decision.is_rollback_by_machine:
                held = _without_last(held)
                if not held or held[-1].release.commit != assignment.release.commit:
                    held.append(assignment)
            else:
                held.append(assignment)
        return held

    def held_before(self, now: Assignment, stage: str = "production") -> Assignment | None:
        """The last assignment that held of another release than `now`'s: what a rollback goes to."""
        earlier = [one for one in self.held(stage) if one.release.commit != now.release.commit]
        return earlier[-1] if earlier else None

    def production(self) -> Assignment | None:
        """What is in production, None where nothing is."""
        return self._current("production")

    def hold(self) -> Assignment | None:
        """The last decision about production, where a person made it and nobody released it; None where production follows commits."""
        last = self.last()
        return last if last and last.decision.holds else None

    def waiting(self) -> Assignment | None:
        """The last that the gate let through since production is held, and that was not put into production since."""
        if not self.hold():
            return None
        decisions = list(self._decisions(PRODUCTION))
        since = max((one.number for one in decisions if not one.decision.holds), default=0)
        last = next((one for one in reversed(self.history(WAITING)) if not one.gone and one.number > since), None)
        now = self.production()
        if last is None or (now and now.release.commit == last.release.commit):
            return None
        return None if any(one.release.commit == last.release.commit and one.number > last.number for one in decisions) else last

    def last(self, stage: str = PRODUCTION) -> Assignment | None:
        """The last tag of the stage that changed or confirmed it, an assignment or a removal."""
        return next(reversed(list(self._decisions(stage))), None)

    def _decisions(self, stage: str) -> Iterator[Assignment]:
        """The tags that counted when they were set: taking out a release that was not there changes nothing."""
        now = None
        for assignment in self.history(stage):
            if not assignment.gone:
                now = assignment
                yield assignment
            elif now and now.release.commit == assignment.release.commit:
                now = None
                yield assignment

    def _current(self, stage: str) -> Assignment | None:
        """The last assignment, unless its release was taken out again since."""
        last = self.last(stage)
        return last if last and not last.gone else None

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

        Returns None when it is there already, unless that is to be recorded `again`, and when `condition`, asked of the repository as it
        is at that moment, does not hold. Raises UserError.
        """
        import gto.api

        with file_lock(self.repository.home / ".stage.lock"):
            for _ in range(TRIES):
                self.repository.refresh()
                release = self.releases.get(version)
                now = self._current(stage)
                if not condition() or (now and now.release.commit == release.commit and not again):
                    return None
                with self.repository.checkout(release.commit) as clone:
                    named = {"author": who.name, "author_email": who.email}
                    tag = gto.api.assign(str(clone), NAME, stage, version=version, message=message, force=True, **named)
                    if push_tags(self.repository, clone, str(tag.tag)):
                        self.repository.refresh()
                        return self._current(stage)
        raise self._contended(stage)

    def _contended(self, stage: str) -> UserError:
        return UserError(
            f"Another machine keeps assigning {stage} in {self.repository.shown}: look at `face-assets status`, then run again."
        )


def _without_last(assignments: list[Assignment]) -> list[Assignment]:
    """Without those of the last one's release that stand together at the end: it may have been assigned again meanwhile."""
    last = assignments[-1:]
    while assignments and assignments[-1].release.commit == last[0].release.commit:
        assignments = assignments[:-1]
    return assignments
