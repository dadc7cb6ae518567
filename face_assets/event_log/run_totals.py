"""Totals over all runs, each counted once and stored in a small file, so that a scrape does not slow with history."""

import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg

from face_assets.core.files import file_lock, read_json, write_json
from face_assets.event_log.runs import BEFORE_START, is_refusal
from face_assets.monitoring.facts import Durations, LastCheck, QueueFacts, Totals
from face_assets.storage.home import Home

RUNS_A_PAGE = 200
RUNS_A_LOOK = 50
RECENT = 10
EVENTS_A_PAGE = 500
SECONDS_TO_COUNT = 2.0
"""Time limit of one count. The next one counts the rest, so that a scrape over a long history ends in time."""
EVENTS = {
    dg.DagsterEventType.STEP_START,
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
}
FORMAT = 1
IDENTITY = "face_assets/event_log"
QUEUED = dg.DagsterRunStatus.QUEUED


@dataclass
class Counted:
    """Content of the file.

    storage: identity of the event log; recent: ids of the last known runs; since: storage number from which those count; open: runs that
    are unfinished or not counted.
    """

    storage: str
    recent: list[str] = field(default_factory=list)
    since: int = 0
    open: list[str] = field(default_factory=list)
    totals: Totals = field(default_factory=Totals)


def totals_file(home: Home) -> Path:
    """Path of the totals. If it is deleted, all runs are counted again."""
    return home.root / "monitoring" / "run_totals.json"


def count_runs(instance: dg.DagsterInstance, home: Home) -> tuple[Totals, QueueFacts]:
    """The totals, with runs that ended since the last count, and the unfinished runs."""
    file = totals_file(home)
    with file_lock(file.with_suffix(".lock")):
        counted = _read(file, _identity(instance))
        before = asdict(counted)
        _find_new(instance, counted)
        queue = _count_finished(instance, counted)
        if asdict(counted) != before:
            write_json(file, {"format": FORMAT, **asdict(counted)})
    return counted.totals, queue


def _identity(instance: dg.DagsterInstance) -> str:
    """Identity of an event log, assigned at the first count; another event log has another."""
    kept = instance.daemon_cursor_storage.get_cursor_values({IDENTITY})
    if IDENTITY not in kept:
        instance.daemon_cursor_storage.set_cursor_values({IDENTITY: uuid.uuid4().hex})
        kept = instance.daemon_cursor_storage.get_cursor_values({IDENTITY})
    return kept[IDENTITY]


def _read(file: Path, storage: str) -> Counted:
    """The stored totals; empty ones if the file belongs to another event log or cannot be read."""
    try:
        stored: dict[str, Any] = read_json(file)
        if stored.pop("format") != FORMAT or stored["storage"] != storage:
            return Counted(storage)
        kept = stored.pop("totals")
        for name in ("run_seconds", "step_seconds"):
            kept[name] = {key: Durations(**one) for key, one in kept[name].items()}
        kept["last_check"] = {key: LastCheck(**one) for key, one in kept["last_check"].items()}
        return Counted(**stored, totals=Totals(**kept))
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return Counted(storage)


def _find_new(instance: dg.DagsterInstance, counted: Counted) -> None:
    """Adds new runs to the open ones, from the newest back to known ones.

    Runs are recognized by id: SQLite reuses the numbers of the last runs if those are deleted.
    """
    found: list[dg.RunRecord] = []
    cursor: str | None = None
    while True:
        page = instance.get_run_records(limit=RUNS_A_PAGE if cursor else RECENT + 1, cursor=cursor)
        found += page
        if len(page) < RECENT + 1 or page[-1].storage_id <= counted.since:
            break
        cursor = page[-1].dagster_run.run_id
    known = set(counted.recent)
    new = [record.dagster_run.run_id for record in found if record.storage_id >= counted.since and record.dagster_run.run_id not in known]
    counted.open += reversed(new)
    counted.recent = [record.dagster_run.run_id for record in found[:RECENT]]
    counted.since = found[:RECENT][-1].storage_id if len(found) > RECENT else 0


def _count_finished(instance: dg.DagsterInstance, counted: Counted) -> QueueFacts:
    """Counts the open runs that have finished, oldest first, within the time limit."""
    states: dict[str, int] = {"queued": 0, "starting": 0, "running": 0}
    queued: list[float] = []
    left: list[str] = []
    uncounted = 0
    ends = time.monotonic() + SECONDS_TO_COUNT
    for start in range(0, len(counted.open), RUNS_A_LOOK):
        ids = counted.open[start : start + RUNS_A_LOOK]
        if time.monotonic() > ends:
            left += ids
            uncounted += len(ids)
            continue
        records = {record.dagster_run.run_id: record for record in instance.get_run_records(dg.RunsFilter(run_ids=ids))}
        for run_id in ids:  # a deleted run has no record
            record = records.get(run_id)
            if record is None:
                continue
            if record.dagster_run.is_finished and time.monotonic() <= ends:
                _count(instance, record, counted.totals)
                continue
            left.append(run_id)
            if record.dagster_run.is_finished:
                uncounted += 1
                continue
            status = record.dagster_run.status
            name = BEFORE_START.get(status, "starting" if status == dg.DagsterRunStatus.NOT_STARTED else "running")
            states[name] += 1
            if status == QUEUED:
                queued.append(record.create_timestamp.timestamp())
    counted.open = left
    return QueueFacts(states, min(queued, default=None), uncounted)


def _count(instance: dg.DagsterInstance, record: dg.RunRecord, totals: Totals) -> None:
    run = record.dagster_run
    started: dict[str, float] = {}
    refused = False
    for entry in _events(instance, run.run_id):
        event = entry.dagster_event
        assert event is not None
        step = event.step_key or ""
        if event.event_type == dg.DagsterEventType.STEP_START:
            started[step] = entry.timestamp
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            name = f"{check.asset_key.to_user_string()}:{check.check_name}"
            _add(totals.checks, name, "passed" if check.passed else "failed")
            last = totals.last_check.get(name)
            if last is None or last.time <= entry.timestamp:
                totals.last_check[name] = LastCheck(bool(check.passed), entry.timestamp)
        else:
            outcome = _step_outcome(event)
            refused = refused or outcome == "refused"
            _add(totals.steps, step, outcome)
            totals.step_seconds.setdefault(step, Durations()).add(max(0.0, entry.timestamp - started.get(step, entry.timestamp)))
            if outcome == "done":
                totals.last_success[step] = max(totals.last_success.get(step, 0.0), entry.timestamp)
    _add(totals.runs, run.job_name, "refused" if refused else _word(run.status))
    if record.start_time is not None and record.end_time is not None:  # no negative durations after a clock was set back
        totals.run_seconds.setdefault(run.job_name, Durations()).add(max(0.0, record.end_time - record.start_time))


def _step_outcome(event: dg.DagsterEvent) -> str:
    """The outcome of a step: done, failed, or refused."""
    if event.event_type == dg.DagsterEventType.STEP_SUCCESS:
        return "done"
    return "refused" if is_refusal(event) else "failed"


def _word(status: dg.DagsterRunStatus) -> str:
    return {dg.DagsterRunStatus.SUCCESS: "done", dg.DagsterRunStatus.CANCELED: "canceled"}.get(status, "failed")


def _add(counts: dict[str, dict[str, int]], first: str, second: str) -> None:
    row = counts.setdefault(first, {})
    row[second] = row.get(second, 0) + 1


def _events(instance: dg.DagsterInstance, run_id: str) -> Iterator[dg.EventLogEntry]:
    """The counted events of a run, oldest first."""
    cursor: str | None = None
    while True:
        page = instance.get_records_for_run(run_id, cursor=cursor, of_type=EVENTS, limit=EVENTS_A_PAGE)
        yield from (record.event_log_entry for record in page.records)
        if not page.has_more:
            return
        cursor = page.cursor
