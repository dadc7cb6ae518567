"""Schedules: runs by the clock."""

import dagster as dg

from face_assets.core.errors import UserError
from face_assets.orchestration import jobs
from face_assets.orchestration.partitions import add_commit
from face_assets.orchestration.tags import NAME, TRIGGER, commit_tags, training_tag
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.release.training_age import training_age


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


@dg.schedule(
    job=jobs.commit_to_live,
    cron_schedule="43 2 * * 6",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Trains the embedder for the commit in production, where it is that of an earlier commit: also for little that was added.",
)
def weekly_training(context: dg.ScheduleEvaluationContext, platform: WorkspaceResource) -> dg.RunRequest | dg.SkipReason:
    """Requests a training for the commit in production, once for each commit."""
    workspace = platform.workspace()
    try:
        production = workspace.stages.production() if workspace.settings.repo else None
        if production is None:
            return dg.SkipReason("No release is in production yet.")
        age = training_age(production.release)
        if age is None or age["kept_from"] is None:
            return dg.SkipReason(f"{production.release.version} has the embedder that was trained for its own commit, or starting weights.")
        commit = production.release.trained_commit
        tags = commit_tags(workspace, commit, "schedule") | training_tag(True)
    except UserError as error:
        return dg.SkipReason(str(error))
    add_commit(context.instance, commit)
    return dg.RunRequest(run_key=f"training:{commit}", partition_key=commit, tags=tags)
