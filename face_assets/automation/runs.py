"""Runs started by hand: launched in a process of their own, followed through the event log to the end."""

import json
import logging
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from face_assets.automation.instance import open_instance
from face_assets.automation.partitions import add_commit
from face_assets.home import Home

POLL_SECONDS = 0.3
EVENTS_A_POLL = 500


@dataclass(frozen=True)
class Step:
    """What a follower is shown: an asset materialized, a message of a step, or a failure."""

    kind: str
    asset: str
    text: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class RunReport:
    """How a run ended: facts of every materialization by asset, and the reasons of failures and failed checks."""

    run_id: str
    success: bool
    assets: dict[str, dict[str, Any]]
    seconds: dict[str, float]
    reasons: list[str]
    log: str


def run_job(home: Home, job: str, commit: str | None, show: Callable[[Step], None]) -> RunReport:
    """Runs `job` in a child process and reports; a child that dies leaves a failed run, not one that seems to go on."""
    run_id = str(uuid.uuid4())
    log = home.logs / "runs" / f"{run_id}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with open_instance(home) as instance:
        if commit:
            add_commit(instance, commit)
        command = [sys.executable, "-m", "face_assets.automation.execute", job, run_id, *([commit] if commit else [])]
        with open(log, "wb") as output:
            child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
            try:
                report = _follow(instance, run_id, child, show)
            finally:
                if child.poll() is None:
                    child.terminate()
                    child.wait()
                _close(instance, run_id)
    report.log = str(log)
    if not report.success and not report.reasons:
        report.reasons.append(f"the run ended unexpectedly (exit status {child.returncode}); its log is {log}")
    return report


def _close(instance: dg.DagsterInstance, run_id: str) -> None:
    run = instance.get_run_by_id(run_id)
    if run and not run.is_finished:
        instance.report_run_failed(run, "the process of the run ended before the run did")


def _follow(instance: dg.DagsterInstance, run_id: str, child: "subprocess.Popen[bytes]", show: Callable[[Step], None]) -> RunReport:
    report = RunReport(run_id, False, {}, {}, [], "")
    started: dict[str, float] = {}
    cursor: str | None = None
    while True:
        ended = child.poll() is not None
        page = instance.get_records_for_run(run_id, cursor=cursor, limit=EVENTS_A_POLL)
        cursor = page.cursor
        for record in page.records:
            for step in _read(record.event_log_entry, report, started):
                show(step)
        if ended and not page.records:
            report.success = child.returncode == 0
            return report
        time.sleep(POLL_SECONDS)


def _read(entry: dg.EventLogEntry, report: RunReport, started: dict[str, float]) -> Iterator[Step]:
    name = entry.step_key or ""
    event = entry.dagster_event
    if event is None:
        if entry.level == logging.INFO:
            yield Step("message", name, entry.user_message)
        return
    if event.event_type == dg.DagsterEventType.STEP_START:
        started[name] = entry.timestamp
        yield Step("start", name, "")
    elif event.event_type == dg.DagsterEventType.STEP_SUCCESS:
        report.seconds[name] = round(entry.timestamp - started.get(name, entry.timestamp), 2)
        yield Step("done", name, f"{report.seconds[name]:.1f} s", report.assets.get(name, {}))
    elif event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION:
        report.assets[name] = plain_metadata(event.materialization.metadata)
    elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
        check = event.asset_check_evaluation_data
        if not check.passed:
            sentence = f"{check.asset_key.to_user_string()}: {check.check_name}: {check.description}"
            if check.severity == dg.AssetCheckSeverity.ERROR:
                report.reasons.append(sentence)
            yield Step("check", name, sentence)
    elif event.event_type == dg.DagsterEventType.STEP_FAILURE:
        failure = event.step_failure_data
        if failure.user_failure_data and failure.user_failure_data.description:
            report.reasons.append(f"{name}: {failure.user_failure_data.description}")
        elif failure.error and not any(reason.startswith(name) for reason in report.reasons):
            report.reasons.append(f"{name}: {_last_cause(failure.error)}")
        yield Step("failed", name, report.reasons[-1] if report.reasons else "failed")


def _last_cause(error: Any) -> str:
    while error.cause:
        error = error.cause
    return str(error.message).strip()


def plain_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Dagster's metadata values as plain ones; pictures and cards left out."""
    facts = {}
    for key, value in metadata.items():
        plain = value.value if hasattr(value, "value") else value
        if isinstance(value, dg.MarkdownMetadataValue):
            continue
        facts[key] = json.loads(plain) if isinstance(value, dg.JsonMetadataValue) and isinstance(plain, str) else plain
    return facts
