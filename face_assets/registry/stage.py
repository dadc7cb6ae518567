"""Stages: which release is in production, as GTO's stage tags in the data repository say."""

import re
from dataclasses import dataclass

from face_assets.errors import UserError
from face_assets.files import file_lock
from face_assets.registry.release import AUTHOR, EMAIL, NAME, Release, Releases, push_tags

STAGE = re.compile(rf"^{NAME}#(?P<stage>[a-z0-9-]+)(?P<gone>!?)#(?P<number>[0-9]{{1,18}})$")
FIELDS = "%00".join(["%(refname:lstrip=2)", "%(*objectname)", "%(taggername)", "%(taggerdate:iso-strict)", "%(contents)"]) + "%00%00"
TRIES = 5
GAVE_BACK = "Gave production back: "


@dataclass(frozen=True)
class Assignment:
    """A stage tag: which release it puts into the stage, or takes out (`gone`), who set it, when and why."""

    release: Release
    tag: str
    author: str
    time: str
    message: str
    gone: bool = False


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
            tag, commit, author, when, message = (row.split("\0") + [""] * 5)[:5]
            parsed = STAGE.match(tag)
            if parsed and parsed["stage"] == stage and commit in by_commit:
                assignment = Assignment(by_commit[commit], tag, author, when, message.strip(), bool(parsed["gone"]))
                found.append((int(parsed["number"]), assignment))
        return [assignment for _, assignment in sorted(found, key=lambda pair: pair[0])]

    def held(self, stage: str = "production") -> list[Assignment]:
        """The assignments that held, oldest first: without those taken out again or given back, and without the giving back."""
        held: list[Assignment] = []
        for assignment in self.history(stage):
            if assignment.message.startswith(GAVE_BACK):
                held = _without_last(held)
                if not held or held[-1].release.commit != assignment.release.commit:
                    held.append(assignment)
            elif not assignment.gone:
                held.append(assignment)
            elif held and held[-1].release.commit == assignment.release.commit:
                held = _without_last(held)
        return held

    def held_before(self, now: Assignment, stage: str = "production") -> Assignment | None:
        """The last assignment that held of another release than `now`'s: what a rollback goes to."""
        earlier = [one for one in self.held(stage) if one.release.commit != now.release.commit]
        return earlier[-1] if earlier else None

    def production(self) -> Assignment | None:
        """What is in production, None where nothing is."""
        return self._current("production")

    def _current(self, stage: str) -> Assignment | None:
        """The last assignment, unless its release was taken out again since; taking out an earlier one changes nothing."""
        now = None
        for assignment in self.history(stage):
            if not assignment.gone:
                now = assignment
            elif now and now.release.commit == assignment.release.commit:
                now = None
        return now

    def assign(
        self,
        version: str,
        message: str,
        author: str | None = None,
        stage: str = "production",
        again: bool = False,
        instead_of: Assignment | None = None,
    ) -> Assignment | None:
        """Puts a release into the stage, an older one too (a rollback); None when it is there already, unless that is to be said `again`,
        and when something else than `instead_of` is there by now. Raises UserError.
        """
        import gto.api

        with file_lock(self.repository.home / ".stage.lock"):
            for _ in range(TRIES):
                self.repository.refresh()
                release = self.releases.get(version)
                now = self._current(stage)
                if now and now.release.commit == release.commit and not again:
                    return None
                if instead_of and (now is None or now.tag != instead_of.tag):
                    return None
                with self.repository.checkout(release.commit) as clone:
                    who = {"author": author or AUTHOR, "author_email": EMAIL}
                    tag = gto.api.assign(str(clone), NAME, stage, version=version, message=message, force=True, **who)
                    if push_tags(self.repository, clone, str(tag.tag)):
                        self.repository.refresh()
                        return self._current(stage)
        raise self._contended(stage)

    def give_back(self, refused: Assignment, to: str, reason: str) -> None:
        """Puts the release `to`, which is still live, in place of one whose deployment failed. What came after `refused` stays."""
        message = f"{GAVE_BACK}{refused.release.version} failed its verification: {reason}"
        self.assign(to, message, author="face-assets", instead_of=refused)

    def unassign(self, assignment: Assignment, message: str, stage: str = "production") -> None:
        """Empties the stage: what was assigned failed, and nothing was there before. What came after `assignment` stays."""
        import gto.api

        with file_lock(self.repository.home / ".stage.lock"):
            for _ in range(TRIES):
                self.repository.refresh()
                now = self._current(stage)
                if now is None or now.tag != assignment.tag:
                    return
                with self.repository.checkout(assignment.release.commit) as clone:
                    who = {"author": AUTHOR, "author_email": EMAIL}
                    tag = gto.api.unassign(str(clone), NAME, version=assignment.release.version, stage=stage, message=message, **who)
                    if push_tags(self.repository, clone, str(tag.tag)):
                        self.repository.refresh()
                        return
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
