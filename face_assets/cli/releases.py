"""`face-assets releases`, `approve`, `promote`, `rollback` and `resume`."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from face_assets.automation.stage_sensor import promotion_lock
from face_assets.cli.commit_runs import run_on_terminal
from face_assets.cli.followed_repository import read_repository
from face_assets.core.errors import RefusedError, UserError
from face_assets.core.outside_text import echo, shown_lines
from face_assets.orchestration import jobs
from face_assets.orchestration.tags import MANUAL, commit_tags, stage_tags
from face_assets.registry.decision import person_message
from face_assets.registry.person import Person, git_identity
from face_assets.registry.stages import Assignment
from face_assets.registry.workspace import Workspace
from face_assets.release.approval import approve
from face_assets.release.consent import require_entries_in_force
from face_assets.release.promotion import is_of_production
from face_assets.release.signing import sign_release
from face_assets.serving.machine_state import ask_to_retry


def list_releases(repo: str | None) -> list[dict[str, Any]]:
    """Returns the registered releases, newest version first."""
    workspace = read_repository(repo)
    workspace.repository.refresh()
    for sentence in filter(
        None, (workspace.stages.foreign(), workspace.stages.ahead(), workspace.stages.unapproved(), workspace.stages.unsigned())
    ):
        echo(sentence, err=True)
    stages = workspace.stages
    staged = (("candidate", stages.candidate()), ("waiting", stages.waiting()), ("production", stages.production()))
    stage_of = {one.release.version: stage for stage, one in staged if one}
    return [
        {
            "version": release.version,
            "stage": "deprecated" if release.deprecated else stage_of.get(release.version),
            "approved_by": str(approval) if (approval := stages.approval(release)) else None,
            "trained_commit": release.trained_commit,
            "release_commit": release.commit,
            "tag": f"face-recognizer@{release.version}",
            "figures": ", ".join(f"{key} {value:.4f}" for key, value in release.metrics.items() if isinstance(value, float)),
            "metrics": release.metrics,
            "compatible_with": list(release.lineage.compatible_with),
        }
        for release in reversed(workspace.releases.with_deprecated())
    ]


def releases_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line a release."""
    return shown_lines(
        f"{row['version']:<10} {row['stage'] or '':<11} commit {row['trained_commit'][:12]}  {row['figures']}" for row in rows
    )


def approve_release(version: str, note: str, deploy: bool, quiet: bool) -> dict[str, Any]:
    """Approves a candidate in the name of git's identity, which puts it into production, and deploys it on this machine, if `deploy`.

    Raises RefusedError for a person who made the release, and for a release that is no candidate.
    """
    workspace = Workspace.load()
    with promotion_lock(workspace.home.root) if deploy else nullcontext():
        assigned = approve(workspace, version, note, git_identity(workspace.home.root))
        said = {"version": assigned.release.version, "repository": workspace.repository.shown, "tag": assigned.tag}
        said |= {"approved_by": str(Person(assigned.author, assigned.email)), "note": assigned.decision.reason}
        if not quiet:
            echo(f"{said['approved_by']} approved {said['version']}, which goes into production of {said['repository']}", err=True)
        if not deploy:
            return {**said, "success": True, "refused": False}
        return {**said, **run_on_terminal(workspace.home, jobs.DEPLOY_PRODUCTION, None, stage_tags(assigned, MANUAL), quiet)}


def sign_registered(version: str) -> dict[str, Any]:
    """Signs a release that was registered without a signature, in the name of git's identity. Raises UserError."""
    workspace = Workspace.load()
    who = git_identity(workspace.home.root)
    return {"version": version, "tag": sign_release(workspace, version, who), "signed_by": str(who)}


def promote_release(version: str, reason: str, follow: bool, quiet: bool) -> dict[str, Any]:
    """Assigns production to `version` and deploys it; later commits replace it only with `follow`.

    Raises UserError for a version that is not registered.
    """
    workspace = Workspace.load()
    workspace.repository.refresh()
    return _promote(workspace, version, reason or "Promoted by hand", follow, quiet)


def roll_back(reason: str, quiet: bool) -> dict[str, Any]:
    """Promotes the release that was in production before the current one; later commits do not replace it."""
    workspace = Workspace.load()
    workspace.repository.refresh()
    now = workspace.stages.production()
    if now is None:
        raise UserError("No release is in production: there is nothing to roll back from.")
    before = workspace.stages.previous(now)
    if before is None:
        raise UserError(f"No release was in production before {now.release.version}: there is nothing to roll back to.")
    return _promote(workspace, before.release.version, reason or f"Rolled back from {now.release.version}", False, quiet)


def resume_following(reason: str, quiet: bool) -> dict[str, Any]:
    """Lets production follow the commits again; a run for the waiting release's commit compares it with production.

    The health sensor retries at once what this machine failed to deploy.

    Raises UserError where nothing is in production, and no waiting release may go there.
    """
    workspace = Workspace.load()
    ask_to_retry(workspace)
    workspace.repository.refresh()
    stages = workspace.stages
    hold, waiting, now = stages.hold(), stages.waiting(), stages.production()
    named: dict[str, Any] = {"repository": workspace.repository.shown, "held": False}
    if hold is None:
        return {**named, "success": True, "refused": False, "released": None, "run_for": None}
    stays = now or waiting
    if now is None and stages.approval_required:
        raise RefusedError(
            "Nothing is in production, and a release goes there by approval: `face-assets approve VERSION` by a second person."
        )
    if stays is None:
        raise UserError("Nothing is in production and nothing waits: `face-assets promote VERSION --follow` names a release.")
    if now is None and not is_of_production(workspace, stays.commit):
        gone = f"what waits, {stays.release.version}, is of commit {stays.commit[:12]}, which is on no branch of production any more"
        raise UserError(f"Nothing is in production, and {gone}: `face-assets promote VERSION --follow` names a release.")
    assigned = _assign(workspace, stays.release.version, reason or "Production follows the commits again", True, quiet)
    named |= {"released": hold.tag, "run_for": waiting.commit if waiting else None}
    if waiting is None:
        return {**named, "success": True, "refused": False, "tag": assigned.tag}
    report = run_on_terminal(workspace.home, jobs.COMMIT_TO_LIVE, waiting.commit, commit_tags(workspace, waiting.commit, MANUAL), quiet)
    if not report["success"] and not report["refused"] and not quiet:
        echo(f"{waiting.release.version} waits no more: `face-assets run --commit {waiting.commit[:12]}` tries again.", err=True)
    return {**named, **report}


def _promote(workspace: Workspace, version: str, reason: str, follow: bool, quiet: bool) -> dict[str, Any]:
    named = version if version.startswith("v") else f"v{version}"
    require_entries_in_force(workspace, named)
    with promotion_lock(workspace.home.root):
        assigned = _assign(workspace, named, reason, follow, quiet)
        report = run_on_terminal(workspace.home, jobs.DEPLOY_PRODUCTION, None, stage_tags(assigned, MANUAL), quiet)
    decided = {"tag": assigned.tag, "decided_by": assigned.author, "reason": reason, "held": not follow}
    return {"version": named, "repository": workspace.repository.shown, **decided, **report}


def _assign(workspace: Workspace, version: str, reason: str, follow: bool, quiet: bool) -> Assignment:
    """Records the decision of the person at this machine, also where the release is in production already."""
    who = git_identity(workspace.home.root)
    assigned = workspace.stages.assign(version, person_message(reason, follow), who, again=True)
    assert assigned is not None
    if not quiet:
        until = "commits to come may replace it" if follow else "it holds until `face-assets resume`"
        where = f"{version} goes into production of {workspace.repository.shown}"
        echo(f"{where}, decided by {who.name} ({assigned.tag}); {until}", err=True)
    return assigned
