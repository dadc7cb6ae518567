"""`face-assets releases`, `promote` and `rollback`."""

from typing import Any

import click

from face_assets.automation import jobs
from face_assets.automation.stage_sensor import promoting
from face_assets.automation.tags import CAUSE
from face_assets.errors import UserError
from face_assets.operations.following import read_repository
from face_assets.operations.pipeline import run_on_terminal
from face_assets.pipeline.workspace import Workspace


def list_releases(repo: str | None) -> list[dict[str, Any]]:
    """The registered releases, newest version first."""
    workspace = read_repository(repo)
    workspace.repository.refresh()
    production = workspace.stages.production()
    staged = production.release.version if production else None
    return [
        {
            "version": release.version,
            "stage": "production" if release.version == staged else None,
            "trained_commit": release.trained_commit,
            "release_commit": release.commit,
            "tag": f"face-recognizer@{release.version}",
            "figures": ", ".join(f"{key} {value:.4f}" for key, value in release.metrics.items() if isinstance(value, float)),
            "metrics": release.metrics,
        }
        for release in reversed(workspace.releases.all())
    ]


def promote_release(version: str, reason: str, quiet: bool) -> dict[str, Any]:
    """Assigns production to `version` and deploys it. Raises UserError for a version that is not registered."""
    workspace = Workspace.load()
    workspace.repository.refresh()
    return _promote(workspace, version, reason or "promoted by hand", quiet)


def roll_back(reason: str, quiet: bool) -> dict[str, Any]:
    """Promotes the release that was live in production before the present one."""
    workspace = Workspace.load()
    workspace.repository.refresh()
    now = workspace.stages.production()
    if now is None:
        raise UserError("No release is in production: there is nothing to roll back from.")
    before = workspace.stages.held_before(now)
    if before is None:
        raise UserError(f"No release was in production before {now.release.version}: there is nothing to roll back to.")
    return _promote(workspace, before.release.version, reason or f"rolled back from {now.release.version}", quiet)


def _promote(workspace: Workspace, version: str, reason: str, quiet: bool) -> dict[str, Any]:
    named = version if version.startswith("v") else f"v{version}"
    shown = workspace.repository.shown
    if not quiet:
        click.echo(f"{named} goes into production of {shown}", err=True)
    with promoting(workspace.home.root):
        workspace.stages.assign(named, message=reason)
        return {
            "version": named,
            "repository": shown,
            **run_on_terminal(workspace.home, jobs.DEPLOY_PRODUCTION, None, {CAUSE: "hand"}, quiet),
        }
