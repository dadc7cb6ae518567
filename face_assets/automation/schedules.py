"""Schedules: runs by the clock."""

import dagster as dg

from face_assets.core.errors import UserError
from face_assets.orchestration import jobs
from face_assets.orchestration.tags import NAME, TRIGGER
from face_assets.orchestration.workspace_resource import WorkspaceResource


@dg.schedule(
    job=jobs.deploy_production,
    cron_schedule="17 4 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Checks the live release with its golden requests; replaces it by a fresh copy if responses are wrong.",
)
def daily_verification(context: dg.ScheduleEvaluationContext, platform: WorkspaceResource) -> dg.RunRequest | dg.SkipReason:
    """Requests the deployment check of the release in production, if there is one."""
    workspace = platform.workspace()
    try:
        production = workspace.stages.production() if workspace.settings.repo else None
    except UserError as error:
        return dg.SkipReason(str(error))
    return (
        dg.RunRequest(tags={TRIGGER: "schedule", NAME: f"daily check of {production.release.version}"})
        if production
        else dg.SkipReason("No release is in production yet.")
    )
