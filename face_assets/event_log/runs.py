"""Runs, in a child process or launched elsewhere, followed through the event log to the end."""

import json
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from face_assets.core.errors import UserError
from face_assets.core.full_disk import FULL, is_full
from face_assets.event_log.dead_runs import close, close_dead_runs
from face_assets.event_log.instance import open_instance
from face_assets.event_log.run_process import RunProcess
from face_assets.orchestration.partitions import add_commit
from face_assets.orchestration.step_failures import REFUSALS, REFUSED
from face_assets.orchestration.tags import reason_tag
from face_assets.storage.home import Home

POLL_SECONDS = 0.3
EVENTS_A_POLL = 500
UNDER_WAY = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
LISTED = 5
NO_RETRIES = "dagster/max_retries"
QUEUED = "queued"
SENTENCES = {
    "Cannot access partition_key for a non-partitioned run": (
        "the run names no commit: launch it for a partition, or with the commit's full id in the run's tag dagster/partition"
    ),
    "No space left on device": FULL,
    "database or disk is full": FULL,
    "Nonexistent partition keys": "the run's commit is no partition: add its full id first, as `face-assets launch` does",
}
"""Sentences in place of Dagster's messages about incomplete launches and a full disk."""
BEFORE_START = {dg.DagsterRunStatus.QUEUED: QUEUED, dg.DagsterRunStatus.STARTING: "starting"}


@dataclass(frozen=True)
class Progress:
    """One line of progress of a followed run.

    kind: "state" (the run is queued or starting), or of an asset "planned", "start", "message", "done", "check" (a failed one)
    and "failed".
    """

    kind: str
    asset: str
    text: str
    facts: dict[str, Any] = field(default_factory=dict)


ShowProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class Problem:
    """A failed check, or a failed step; then `check` is empty.

    figures: metadata of the check or of the Failure; severe: it can stop a run; refused: a check or a refusal failed it, not an error.
    """

    step: str
    asset: str
    check: str
    reason: str
    severe: bool
    refused: bool
    figures: dict[str, Any]

    def sentence(self) -> str:
        """Asset, check and reason in a line."""
        return ": ".join(part for part in (self.asset, self.check, self.reason) if part)


@dataclass
class RunReport:
    """Report of a finished run: metadata of materializations by asset, and reasons of failures, refusals and failed checks."""

    run_id: str
    success: bool
    refused: bool
    assets: dict[str, dict[str, Any]]
    seconds: dict[str, float]
    reasons: list[str]
    log: str


def run_job(
    home: Home, job: str, commit: str | None, tags: Mapping[str, str], show: ShowProgress, config: Mapping[str, Any] | None = None
) -> RunReport:
    """Runs `job` in a child process and returns the report. If the child is killed, the run is marked as failed."""
    run_id = str(uuid.uuid4())
    log = home.logs / "runs" / f"{run_id}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with open_instance(home) as instance:
        close_dead_runs(instance)
        if commit:
            add_commit(instance, commit)
    words = json.dumps({**tags, NO_RETRIES: "0"})  # the caller can try again
    child = RunProcess([job, run_id, commit or "", words, json.dumps(config or {})], log)  # with no database open: it may be a fork
    with open_instance(home) as instance:
        try:
            report = _follow(instance, run_id, lambda: child.status() is not None, show)
        finally:
            child.end()
            close(instance, run_id)
        if child.status() and report.reasons:  # with a daemon, the sensor tags every run
            instance.add_run_tags(run_id, reason_tag(report.reasons[0]))
    report.success = child.status() == 0
    report.log = str(log)
    if not report.success and not report.reasons:
        why = FULL if is_full(home.root) else f"the run ended unexpectedly (exit status {child.status()})"
        report.reasons.append(f"{why.removesuffix('.')}; its log is {log}")
    return report


def follow_run(instance: dg.DagsterInstance, run_id: str, show: ShowProgress) -> RunReport:
    """Shows the progress of a run until it has finished, whoever launched it. Returns its report."""
    last: dg.DagsterRunStatus | None = None

    def ended() -> bool:
        nonlocal last
        run = instance.get_run_by_id(run_id)
        before, last = last, run.status if run else None
        if last != before and last in BEFORE_START:
            show(Progress("state", "", BEFORE_START[last]))
        return run is None or run.is_finished

    report = _follow(instance, run_id, ended, show)
    report.success = last == dg.DagsterRunStatus.SUCCESS
    if last is None:
        report.reasons = ["the run was deleted"]
    elif last == dg.DagsterRunStatus.CANCELED and not report.refused:
        report.reasons = ["the run was canceled"]
    elif not report.success and not report.reasons:
        report.reasons.append(why_it_failed(instance, run_id))
    return report


def why_it_failed(instance: dg.DagsterInstance, run_id: str) -> str:
    """The reason of a failure outside the steps, as when the process was killed or the code did not load."""
    failures = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.RUN_FAILURE).records
    entry = failures[-1].event_log_entry if failures else None
    if entry is None or entry.dagster_event is None:
        return "the run failed, and the event log does not say why"
    error = getattr(entry.dagster_event.event_specific_data, "error", None)  # no data if another process reported the failure
    return last_cause(error) if error else str(entry.dagster_event.message or "the run failed")


def find_run(instance: dg.DagsterInstance, prefix: str) -> dg.DagsterRun:
    """The run whose id is or begins with `prefix`. Raises UserError if there is none, or several."""
    exact = instance.get_run_by_id(prefix)
    if exact:
        return exact
    found = [run for run in instance.get_runs() if prefix and run.run_id.startswith(prefix.lower())]
    if not found:
        raise UserError(f"No run of this state directory begins with {prefix!r}; `face-assets status` lists the last ones.")
    if len(found) > 1:
        listed = ", ".join(run.run_id[: len(prefix) + 8] for run in found[:LISTED])
        raise UserError(f"{len(found)} runs begin with {prefix!r} ({listed}{', …' if len(found) > LISTED else ''}): give more of the id.")
    return found[0]


def _follow(instance: dg.DagsterInstance, run_id: str, ended: Callable[[], bool], show: ShowProgress) -> RunReport:
    """Shows the events of a run until it has ended and all are read. The report's `success` is not yet set."""
    report = RunReport(run_id, False, False, {}, {}, [], "")
    started: dict[str, float] = {}
    cursor: str | None = None
    while True:
        over = ended()
        page = instance.get_records_for_run(run_id, cursor=cursor, limit=EVENTS_A_POLL)
        cursor = page.cursor
        for record in page.records:
            for step in _read(record.event_log_entry, report, started):
                show(step)
        if not page.records:
            if over:
                return report
            time.sleep(POLL_SECONDS)


def _read(entry: dg.EventLogEntry, report: RunReport, started: dict[str, float]) -> Iterator[Progress]:
    name = entry.step_key or ""
    event = entry.dagster_event
    if event is None:
        if entry.level == logging.INFO:
            yield Progress("message", name, entry.user_message)
        return
    if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED:
        yield Progress("planned", name, "")
    elif event.event_type == dg.DagsterEventType.STEP_START:
        started[name] = entry.timestamp
        yield Progress("start", name, "")
    elif event.event_type == dg.DagsterEventType.STEP_SUCCESS:
        report.seconds[name] = round(entry.timestamp - started.get(name, entry.timestamp), 2)
        yield Progress("done", name, f"{report.seconds[name]:.1f} s", report.assets.get(name, {}))
    elif event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION:
        report.assets[name] = plain_metadata(event.materialization.metadata)
    elif problem := problem_of(event):
        if problem.severe:
            report.reasons.append(problem.sentence())
        if problem.check:
            yield Progress("check", name, problem.sentence())
    if event.event_type == dg.DagsterEventType.STEP_FAILURE:
        report.refused = report.refused or is_refusal(event)
        yield Progress("failed", name, report.reasons[-1] if report.reasons else "failed")


def is_refusal(event: dg.DagsterEvent) -> bool:
    """True if a step's failure is a refusal."""
    error = event.step_failure_data.error
    return error is not None and error.cls_name in REFUSALS


def problem_of(event: dg.DagsterEvent) -> Problem | None:
    """The problem that an event records, if any. A step stopped by a blocking check is none, for the check has its own event."""
    step = event.step_key or ""
    if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
        check = event.asset_check_evaluation_data
        if check.passed:
            return None
        severe = check.blocking or check.severity == dg.AssetCheckSeverity.ERROR
        reason = check.description or "did not pass"
        return Problem(step, check.asset_key.to_user_string(), check.check_name, reason, severe, True, plain_metadata(check.metadata))
    if event.event_type == dg.DagsterEventType.STEP_FAILURE:
        failure = event.step_failure_data
        refused = is_refusal(event)
        if refused and failure.error and failure.error.cls_name != REFUSED:
            return None
        own = failure.user_failure_data
        reason = own.description if own and own.description else last_cause(failure.error) if failure.error else "failed"
        figures = plain_metadata(own.metadata) if own else {}
        return Problem(step, step, "", reason, True, refused, {name: figure for name, figure in figures.items() if name != "reason"})
    return None


def last_cause(error: Any) -> str:
    """Message of the innermost cause."""
    while error.cause:
        error = error.cause
    message = str(error.message).strip()
    return next((sentence for said, sentence in SENTENCES.items() if said in message), message)


def plain_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Dagster's metadata as plain values, without pictures and cards."""
    facts = {}
    for key, value in metadata.items():
        plain = value.value if hasattr(value, "value") else value
        if isinstance(value, dg.MarkdownMetadataValue):
            continue
        facts[key] = json.loads(plain) if isinstance(value, dg.JsonMetadataValue) and isinstance(plain, str) else plain
    return facts
