"""Promotion of a release by the gate, for a commit of a production branch, unless a person's decision is in force."""

from collections.abc import Callable
from dataclasses import dataclass

from face_assets.core.errors import UserError
from face_assets.registry.decision import LET_THROUGH, STAYS, gate_message
from face_assets.registry.releases import Release
from face_assets.registry.stages import CANDIDATE, PRODUCTION, TRIES, WAITING, Assignment
from face_assets.registry.workspace import Workspace

THERE = "is in production already"
Judge = Callable[[Release | None], list[str]]
"""The gate's reasons against the release, compared with the one in production; empty if it passes."""


@dataclass(frozen=True)
class Staged:
    """The outcome for a release: whether it is in production, and the reason; is_refused: it failed the gate."""

    in_production: bool
    reason: str
    is_refused: bool = False


def stage_release(workspace: Workspace, commit: str, release: Release, judge: Judge) -> Staged:
    """Assigns the stage production if nothing stands against it, or `candidate` where a second person must approve, or `waiting`.

    Raises UserError.

    The tags behind the verdict are read again at the assignment. If they have changed, the verdict is repeated.
    """
    stages = workspace.stages
    for _ in range(TRIES):
        workspace.repository.refresh()
        seen = _seen(workspace)
        verdict = _verdict(workspace, commit, release, judge)
        if verdict and verdict.is_refused:  # the gate takes minutes
            workspace.repository.refresh()
            if _seen(workspace) != seen:
                continue
        if verdict:
            return verdict
        hold = stages.hold()
        stage = CANDIDATE if stages.approval_required else WAITING if hold else PRODUCTION
        assigned = stages.assign(
            release.version,
            gate_message(LET_THROUGH, commit),
            stage=stage,
            again=stage != PRODUCTION,
            condition=lambda seen=seen: _seen(workspace) == seen and is_of_production(workspace, commit),  # type: ignore[misc]
        )
        if assigned and stage == CANDIDATE:
            return Staged(False, f"the gate let it through, and it is the candidate: {needs_approval(release)}")
        if assigned and hold and _is_in_production(workspace, release):
            return Staged(True, THERE)
        if assigned and hold:
            return Staged(False, f"the gate let it through, and it waits: {holds(hold)}")
        if assigned:
            return Staged(True, "put in production: the gate let it through")
    raise UserError(f"Production in {workspace.repository.shown} keeps changing: look at `face-assets status`, then run again.")


def needs_approval(release: Release) -> str:
    """Sentence about what a candidate needs."""
    return f"`face-assets approve {release.version}` by a second person puts it into production"


def _seen(workspace: Workspace) -> tuple[Assignment | None, ...]:
    """The last tags of the stages on which a verdict depends."""
    return tuple(workspace.stages.last(stage) for stage in (PRODUCTION, WAITING, CANDIDATE))


def _is_in_production(workspace: Workspace, release: Release) -> bool:
    production = workspace.stages.production()
    return production is not None and production.release.commit == release.commit


def _verdict(workspace: Workspace, commit: str, release: Release, judge: Judge) -> Staged | None:
    """The outcome if nothing is to be assigned; None if the release is."""
    stages = workspace.stages
    if release.deprecated:
        return Staged(False, f"not put in production: {release.version} is deprecated by `gto deprecate`; to delete that tag takes it back")
    production, hold, waiting, candidate = stages.production(), stages.hold(), stages.waiting(), stages.candidate()
    is_there = _is_in_production(workspace, release)
    if not is_of_production(workspace, commit):
        branches = ", ".join(workspace.settings.production_branches)
        by_hand = f"`face-assets promote {release.version}` does it; FACE_ASSETS_PRODUCTION_BRANCHES names the branches ({branches})"
        reason = f"commit {commit[:12]} is on no branch of production: {by_hand}"
        return Staged(is_there, THERE if is_there else f"not put in production, {reason}")
    if production and is_there and not hold:
        if commit in _made_from(workspace, production.commit):  # recorded, so that no release of a commit between the two replaces it
            seen = stages.last()
            condition = lambda: stages.last() == seen  # noqa: E731
            stages.assign(release.version, gate_message(STAYS, commit), again=True, condition=condition)
        return Staged(True, THERE)
    newer = _newer(workspace, commit)
    made_anew = production and not hold and production.commit == commit  # as after a change of the code
    if is_there and (newer or not waiting):  # a person promoted it; an older one no longer waits
        return Staged(True, THERE)
    if newer and not made_anew:
        there = "waits" if newer == waiting else "is the candidate" if newer == candidate else "was put there"
        there = f"{newer.release.version} {there} for the newer commit {newer.commit[:12]}"
        return Staged(False, f"not put in production: {there}; `face-assets promote {release.version}` does it")
    if not is_there and (reasons := judge(production.release if production else None)):
        return Staged(False, "not put in production, the gate refused it: " + "; ".join(reasons), is_refused=True)
    is_candidate = candidate and (candidate.release.commit, candidate.commit) == (release.commit, commit)
    if candidate and is_candidate and not (production and production.place > candidate.place):  # else it was judged again
        return Staged(False, f"it is the candidate already: {needs_approval(release)}")
    if hold and waiting and (waiting.release.commit, waiting.commit) == (release.commit, commit):
        return Staged(False, f"it waits already: {holds(hold)}")
    return None


def holds(hold: Assignment) -> str:
    """Sentence about a person's decision that is in force."""
    what = f"keeps {hold.release.version} out of" if hold.gone else f"put {hold.release.version} into"
    return f"{hold.author} {what} production ({hold.decision.reason or 'no reason given'}), which holds until `face-assets resume`"


def is_of_production(workspace: Workspace, commit: str) -> bool:
    """True if a production branch has the commit, as of the last refresh."""
    return workspace.repository.is_within(commit, workspace.production_heads())


def _newer(workspace: Workspace, commit: str) -> Assignment | None:
    """An assignment to production, candidate or waiting for a later commit that is still on a branch, if any."""
    after = _made_from(workspace, commit)
    stages = workspace.stages
    pending = [one for one in (stages.candidate(), stages.waiting()) if one]
    return next((one for one in pending + stages.effective()[::-1] if one.commit in after), None)


def _made_from(workspace: Workspace, commit: str) -> set[str]:
    """Commits on production branches that are later than this one."""
    return workspace.repository.descendants(commit, workspace.production_heads())
