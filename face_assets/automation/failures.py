"""Sensors that notify people of failed and refused runs, once for each cause, and once when it is resolved."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from face_assets.automation.change_watch import ChangeWatch
from face_assets.core.errors import UserError
from face_assets.event_log.missed_retries import WILL_RETRY
from face_assets.event_log.outcomes import Outcome, read_outcome
from face_assets.notification.ledger import Ledger
from face_assets.notification.message import Message
from face_assets.notification.notifier import Log, report_firing, report_resolved, send_unsent
from face_assets.orchestration import tags
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.registry.workspace import Workspace

SECONDS_BETWEEN_TICKS = 30  # a tick of Dagster's own sensors of runs cannot wait for a change
SECONDS_BETWEEN_TRIES = 5
PRODUCTION = "production"
"""The line of work of runs that follow the stage; those for commits belong to a branch."""
NO_REASON = "none"
LATER_RUNS = 50


@dg.run_failure_sensor(
    monitor_all_code_locations=True,  # includes the runs of `face-assets run`, which have no code location
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
    description="Records why a run failed, and notifies people once for each cause.",
)
def failed_runs(context: dg.RunFailureSensorContext, platform: WorkspaceResource) -> None:
    """Reports one failed run."""
    run_failed(context.instance, context.dagster_run.run_id, platform.workspace(), context.log.warning)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.CANCELED,
    monitor_all_code_locations=True,
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
    description="Records why a run was refused, and notifies people once for each cause. Runs canceled by a person are ignored.",
)
def refused_runs(context: dg.RunStatusSensorContext, platform: WorkspaceResource) -> None:
    """Reports one run that ended as canceled, if it was refused."""
    run_failed(context.instance, context.dagster_run.run_id, platform.workspace(), context.log.warning)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitor_all_code_locations=True,
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
    description="Tells people when what failed is well again.",
)
def succeeded_runs(context: dg.RunStatusSensorContext, platform: WorkspaceResource) -> None:
    """Resolves causes by one run that succeeded."""
    run_succeeded(context.instance, context.dagster_run.run_id, platform.workspace(), context.log.warning)


@dg.sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=SECONDS_BETWEEN_TRIES,
    description="Sends what waits to be told, and tries again what a webhook, Slack or the mail server did not take.",
)
def unsent_messages(context: dg.SensorEvaluationContext, platform: WorkspaceResource) -> dg.SkipReason:
    """Hands what waits to the channels."""
    workspace, troubles = platform.workspace(), list[str]()
    ledger = Ledger(workspace.settings.home)
    watch = ChangeWatch(workspace, [ledger.path])
    send_unsent(workspace.settings, troubles.append)
    if not ledger.unsent() and watch.wait():
        send_unsent(workspace.settings, troubles.append)
    for trouble in troubles:
        context.log.warning(trouble)
    return dg.SkipReason("; ".join(troubles) or "Nothing waits to be sent.")


def run_failed(instance: dg.DagsterInstance, run_id: str, workspace: Workspace, log: Log) -> None:
    """Tags the run with the reason and reports it, unless Dagster will retry the run."""
    record = instance.get_run_record_by_id(run_id)
    # Dagster tags any failed run so, but retries only those with a code location: not those of `face-assets run`
    if record is None or (record.dagster_run.tags.get(WILL_RETRY) == "true" and record.dagster_run.remote_job_origin):
        return
    outcome = read_outcome(instance, record)
    if outcome.word == "canceled":
        return
    outcome = _with_commit(instance, outcome, workspace, log)
    instance.add_run_tags(run_id, tags.reason_tag(f"{outcome.where}: {outcome.reason}"))
    report_firing(workspace.settings, _problem(outcome), log)
    for later in _successes_since(instance, outcome):
        _report_success(_with_commit(instance, later, workspace, log), workspace, log)


def run_succeeded(instance: dg.DagsterInstance, run_id: str, workspace: Workspace, log: Log) -> None:
    """Reports as well what was open for this branch and succeeded now."""
    record = instance.get_run_record_by_id(run_id)
    if record is None:
        return
    if record.dagster_run.tags.get(tags.REASON, NO_REASON) != NO_REASON:  # a re-execution begins with the tags of the failed run
        instance.add_run_tags(run_id, {tags.REASON: NO_REASON})
    _report_success(_with_commit(instance, read_outcome(instance, record), workspace, log), workspace, log)


def _with_commit(instance: dg.DagsterInstance, outcome: Outcome, workspace: Workspace, log: Log) -> Outcome:
    """The outcome with branch, author and subject, which are added to the run's tags; a run launched in the UI has none."""
    if not outcome.for_commit or (outcome.branch and outcome.author):
        return outcome
    try:
        found = tags.commit_tags(workspace, outcome.commit, outcome.trigger or tags.MANUAL)
    except (UserError, OSError) as error:  # the run itself may have failed by it
        log(f"Author and branch of commit {outcome.commit[:12]} are unknown: {error}")
        return outcome
    instance.add_run_tags(outcome.run_id, found)
    names = (tags.BRANCH, tags.AUTHOR, tags.SUBJECT, tags.TRIGGER)
    branch, author, subject, trigger = (found.get(name, "") for name in names)
    return replace(outcome, branch=branch, author=author, subject=subject, trigger=trigger)


def _successes_since(instance: dg.DagsterInstance, failure: Outcome) -> list[Outcome]:
    """Outcomes of runs that succeeded after the failure, which their sensor may have seen before the failure was reported."""
    ended = failure.ended or time.time()
    since = dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS], updated_after=datetime.fromtimestamp(ended, UTC))
    records = instance.get_run_records(filters=since, limit=LATER_RUNS)
    return [read_outcome(instance, record) for record in records if record.end_time and record.end_time > ended]


def _line(outcome: Outcome) -> str:
    """The line of work of a run: its branch, its commit if that is on no branch, or production."""
    return (outcome.branch or outcome.commit) if outcome.for_commit else PRODUCTION


def _of(outcome: Outcome) -> str:
    return f"commit {outcome.commit[:12]} ({_line(outcome)})" if outcome.commit else _line(outcome)


def _problem(outcome: Outcome) -> Message:
    cause = (_line(outcome), outcome.asset or outcome.job, outcome.check or ("refusal" if outcome.refused else "failure"), outcome.commit)
    return Message(
        kind="firing",
        cause=": ".join(part for part in cause if part),
        title=f"{outcome.where} {'refused' if outcome.refused else 'failed for'} {_of(outcome)}",
        reason=outcome.reason,
        **_facts(outcome),
    )


def _report_success(outcome: Outcome, workspace: Workspace, log: Log) -> None:
    # a run of any branch that deploys also resolves causes of production
    lines = dict.fromkeys((_line(outcome), PRODUCTION))
    causes = [f"{line}: {name}" for line in lines for name in (outcome.job, *outcome.done)]
    what = f"a run of {', '.join(outcome.done)}" if outcome.job.startswith("__") else outcome.job  # Dagster's own job of chosen assets
    message = Message("resolved", _line(outcome), f"{what} went through for {_of(outcome)}", **_facts(outcome))
    report_resolved(workspace.settings, message, causes, outcome.ended, log)


def _facts(outcome: Outcome) -> dict[str, Any]:
    return {
        "commit": outcome.commit,
        "branch": outcome.branch,
        "author": outcome.author,
        "asset": outcome.asset,
        "job": outcome.job,
        "run_id": outcome.run_id,
        "figures": outcome.figures,
        "time": outcome.ended or time.time(),
    }
