"""The stage sensor: deploys the release of a new stage tag, from whichever clone it was assigned."""

from contextlib import AbstractContextManager
from pathlib import Path

import dagster as dg

from face_assets.automation.change_watch import ChangeWatch
from face_assets.core.errors import UserError
from face_assets.core.files import file_lock, is_locked
from face_assets.core.fingerprint import fingerprint
from face_assets.event_log.runs import UNDER_WAY
from face_assets.notification.ledger import Ledger
from face_assets.notification.message import Message
from face_assets.notification.notifier import Log, report_firing, report_resolved
from face_assets.orchestration import jobs
from face_assets.orchestration.tags import PARTITION, stage_tags
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.registry.stages import CANDIDATE, Assignment
from face_assets.registry.workspace import Workspace
from face_assets.release.promotion import needs_approval
from face_assets.serving.steps import target

SECONDS_BETWEEN_TICKS = 2


@dg.sensor(
    job=jobs.deploy_production,
    minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Watches the stage tags of the data repository; deploys the release put into production, also an older one.",
)
def stage_sensor(context: dg.SensorEvaluationContext, platform: WorkspaceResource) -> dg.SensorResult | dg.SkipReason:
    """Compares the stage tags with those of the last tick; its cursor is their digest."""
    workspace = platform.workspace()
    if not workspace.settings.repo:
        return dg.SkipReason("No data repository is named yet.")
    try:
        watch = ChangeWatch(workspace, refs=True)
        seen = _tags_seen(workspace)
        if seen == context.cursor and watch.wait():
            seen = _tags_seen(workspace)
        if seen == context.cursor:
            return dg.SkipReason("No tag of a release or stage is new.")
        workspace.repository.refresh()
        _report_candidate(workspace, context.log.warning)
        assignment = workspace.stages.production()
        deploying = deployment_under_way(context.instance, workspace, assignment) if assignment else None
        live = target(workspace).status().live  # read afterwards: a run that ends in between has made it live
    except UserError as error:
        return dg.SkipReason(str(error))
    if assignment is None:
        return dg.SensorResult(skip_reason="No release is in production.", cursor=seen)
    if deploying:
        return dg.SkipReason(f"{assignment.release.version} is about to be deployed by {deploying}.")
    if live and live.release_commit == assignment.release.commit:
        return dg.SensorResult(skip_reason=f"{assignment.release.version} is live already.", cursor=seen)
    return dg.SensorResult(run_requests=[_request(assignment)], cursor=seen)


def _report_candidate(workspace: Workspace, log: Log) -> None:
    """Notifies people once that a release waits for approval, and once that none does."""
    found = workspace.stages.candidate()
    cause = f"{CANDIDATE}: {found.release.version}" if found else ""
    waiting = [one.cause for one in Ledger(workspace.settings.home).firing() if one.cause.startswith(f"{CANDIDATE}: ")]
    if gone := [one for one in waiting if one != cause]:
        message = Message("resolved", gone[-1], f"{gone[-1].partition(': ')[2]} does not wait for approval any more")
        report_resolved(workspace.settings, message, gone, log=log)
    if found and cause not in waiting:
        title = f"{found.release.version} waits for the approval of a second person"
        figures = {name: value for name, value in found.release.metrics.items() if isinstance(value, float)}
        report_firing(
            workspace.settings, Message("firing", cause, title, needs_approval(found.release), found.commit, figures=figures), log
        )


def _tags_seen(workspace: Workspace) -> str:
    """Digest of the platform's tags in the data repository. Raises UserError."""
    _, tags = workspace.repository.heads()
    return fingerprint(workspace.settings.repo, sorted(tags.items()))


def _request(assignment: Assignment) -> dg.RunRequest:
    # no run key: a tag may be deleted and its number used again
    return dg.RunRequest(tags={**stage_tags(assignment, "stage"), "dagster/priority": jobs.DEPLOY_PRIORITY})


def deployment_under_way(instance: dg.DagsterInstance, workspace: Workspace, assignment: Assignment | None) -> str | None:
    """Name of the run or command that deploys or will deploy this assignment; None if there is none."""
    if is_promotion_under_way(workspace.home.root):
        return "a command"
    commit = assignment.commit if assignment else None
    for run in instance.get_runs(dg.RunsFilter(statuses=list(UNDER_WAY))):
        selected = {key.to_user_string() for key in run.asset_selection or ()}
        deploys = run.job_name == jobs.DEPLOY_PRODUCTION or "triton_deployment" in selected
        if deploys or (run.job_name == jobs.COMMIT_TO_LIVE and run.tags.get(PARTITION) == commit):
            return f"run {run.run_id[:8]}"
    return None


def promotion_lock(home: Path) -> AbstractContextManager[None]:
    """Lock of a command from before it assigns a stage tag until it has deployed it, so that the sensor does not deploy it too."""
    return file_lock(_lock(home))


def is_promotion_under_way(home: Path) -> bool:
    """True if a command has the promotion lock."""
    return is_locked(_lock(home))


def _lock(home: Path) -> Path:
    return home / ".promoting.lock"
