"""Sensors of the traffic: reports of finished hours, and notifications of drift in consecutive hours."""

import time
from collections.abc import Sequence

import dagster as dg

from face_assets.core.errors import UserError
from face_assets.monitoring import reports
from face_assets.monitoring.drift import DriftReport
from face_assets.monitoring.steps import monitoring_params
from face_assets.monitoring.windows import finished_windows
from face_assets.notification.message import Message
from face_assets.notification.notifier import queue_firing, queue_resolved
from face_assets.orchestration import jobs
from face_assets.orchestration.partitions import commits, hours
from face_assets.orchestration.tags import NAME, TRIGGER, commit_tags, training_tag
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.registry.watch import inputs_of
from face_assets.registry.workspace import Workspace
from face_assets.release.training_age import training_age
from face_assets.serving.runtime.recorder import window_name
from face_assets.serving.steps import target

SECONDS_BETWEEN_TICKS = 30
WINDOWS_A_TICK = 12
WINDOWS_AT_FIRST = 24
CAUSE_OF_DRIFT = "traffic: drift"
REQUESTED = "A run of the newest commit is requested."
NOTHING_NEW = "No run is requested: the newest commit has the photos and parameters that production was made from."
COMMIT_PHOTOS = "Photos of the new kind, committed, would train and test for it."


@dg.sensor(
    job=jobs.observe_traffic,
    minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests live_traffic and drift_report of each finished hour with traffic.",
)
def traffic_sensor(context: dg.SensorEvaluationContext, platform: WorkspaceResource) -> dg.SensorResult | dg.SkipReason:
    """Requests runs for finished hours; its cursor is the last of them.

    Without a cursor, or with one in the future after a wrong clock, it begins a day ago. An hour that ran is not run again, for its
    run key is taken.
    """
    folder, now = platform.workspace().home.traffic, time.time()
    cursor = context.cursor if context.cursor and context.cursor <= window_name(int(now)) else ""
    finished = finished_windows(folder, now, cursor)
    waiting = (finished if cursor else finished[-WINDOWS_AT_FIRST:])[:WINDOWS_A_TICK]
    if not waiting:
        return dg.SkipReason("No hour with traffic has ended since.")
    tags = {name: {TRIGGER: "traffic", NAME: f"traffic of {name} UTC"} for name in waiting}
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=name, partition_key=name, tags=tags[name]) for name in waiting],
        cursor=waiting[-1],
        dynamic_partitions_requests=[hours.build_add_request(sorted({*waiting, *_reported_before(context.instance)}))],
    )


def _reported_before(instance: dg.DagsterInstance) -> set[str]:
    """The hours of earlier versions, of which every hour since a fixed date was a partition; empty once there is a partition."""
    known = instance.get_dynamic_partitions(str(hours.name))
    return set() if known else instance.get_materialized_partitions(dg.AssetKey("drift_report"))


@dg.sensor(
    job=jobs.commit_to_live,
    minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Notifies people of drift in monitoring.consecutive_windows hours; requests a run of the newest commit if params say so.",
)
def drift_sensor(context: dg.SensorEvaluationContext, platform: WorkspaceResource) -> dg.SensorResult | dg.SkipReason:
    """Notifies people by the last verdicts on the live release; its cursor is the newest verdict seen."""
    workspace = platform.workspace()
    if not workspace.settings.repo:
        return dg.SkipReason("No data repository is named yet.")
    try:
        live = target(workspace).status().live
        newest = reports.last(workspace.home.monitoring, 1, live.release, judged=True) if live else []
        if not newest:
            return dg.SkipReason("There is no verdict on what is live.")
        seen = f"{newest[0].release} {newest[0].window}"
        if seen == context.cursor:
            return dg.SkipReason(f"No verdict since that on {newest[0].window}.")
        settings = monitoring_params(workspace)
        lasting = reports.consecutive_drift(workspace.home.monitoring, newest[0].release, settings.consecutive_windows)
        head = _worth_running(workspace) if lasting and settings.retrain else None
        requests = [_retraining(workspace, newest[0].release, head)] if head else []
    except UserError as error:
        return dg.SkipReason(str(error))
    if lasting:
        advice = REQUESTED if head else f"{NOTHING_NEW} {COMMIT_PHOTOS}" if settings.retrain else COMMIT_PHOTOS
        queue_firing(workspace.settings, drift_message(lasting, advice), context.log.warning)
    elif newest[0].verdict == "no_drift":
        queue_resolved(
            workspace.settings,
            Message("resolved", CAUSE_OF_DRIFT, "The traffic is again as the release was tested on"),
            context.log.warning,
        )
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else newest[0].sentence,
        cursor=seen,
        dynamic_partitions_requests=[commits.build_add_request([head])] if head else [],
    )


def drift_message(lasting: Sequence[DriftReport], advice: str) -> Message:
    """The notification for consecutive verdicts of drift, newest first."""
    newest, oldest = lasting[0], lasting[-1]
    return Message(
        "firing",
        CAUSE_OF_DRIFT,
        f"The traffic of {newest.release} drifts since {oldest.window} UTC",
        f"{newest.sentence}. {advice}",
        asset="drift_report",
        figures={"hours": len(lasting), "photos": newest.photos, "drifted": newest.drifted},
    )


def _worth_running(workspace: Workspace) -> str | None:
    """The newest commit of a production branch; None if production was made from its inputs, and its embedder was trained for them."""
    workspace.repository.refresh()
    production, heads = workspace.stages.production(), workspace.production_heads()
    made_from = inputs_of(workspace.repository, production.commit) if production else None
    age = training_age(production.release) if production else None
    if age and age["photos_since"]:
        return next(iter(heads), None)
    return None if made_from in [inputs_of(workspace.repository, head) for head in heads] else next(iter(heads), None)


def _retraining(workspace: Workspace, release: str, commit: str) -> dg.RunRequest:
    """Request of one run of a commit, which trains, for a release whose traffic drifts."""
    tags = commit_tags(workspace, commit, "drift") | training_tag(True)
    return dg.RunRequest(run_key=f"drift:{release}:{commit}", partition_key=commit, tags=tags)
