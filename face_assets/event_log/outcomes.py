"""Outcomes of runs from the event log alone: commit, author, duration, and for a failure asset, check and reason."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import dagster as dg

from face_assets.event_log.runs import Problem, plain_metadata, problem_of, why_it_failed
from face_assets.orchestration import tags
from face_assets.orchestration.jobs import OBSERVE_TRAFFIC

EVENTS = {
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.STEP_SUCCESS,
}
EVENTS_A_PAGE = 500
RUNS_A_PAGE = 50
ENDED_BADLY = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
WORDS = {
    dg.DagsterRunStatus.SUCCESS: "done",
    dg.DagsterRunStatus.FAILURE: "failed",
    dg.DagsterRunStatus.CANCELED: "canceled",
    dg.DagsterRunStatus.STARTED: "running",
}


@dataclass(frozen=True)
class Outcome:
    """A run and its outcome.

    trigger: tags.TRIGGER; for_commit: the partition is a commit, and the run does not follow the stage; done: steps that succeeded;
    asset, check, reason, figures: of the first failure, `check` empty if no check stopped the run; refused: a check or a refusal
    stopped it, not an error; decision: the stage tag that the run deploys, with author and reason;
    name: what the run is for, in words.
    """

    run_id: str
    job: str
    status: dg.DagsterRunStatus
    trigger: str
    commit: str
    for_commit: bool
    branch: str
    author: str
    subject: str
    started: float | None
    ended: float | None
    done: tuple[str, ...] = ()
    asset: str = ""
    check: str = ""
    reason: str = ""
    figures: dict[str, Any] = field(default_factory=dict)
    refused: bool = False
    decision: str = ""
    name: str = ""

    @property
    def seconds(self) -> float | None:
        """Duration of the run; None if it has not started or not finished."""
        return round(self.ended - self.started, 1) if self.started is not None and self.ended is not None else None

    @property
    def word(self) -> str:
        """Status in a word: done, refused, failed, canceled, running, or what it waits for."""
        if self.refused:
            return "refused"
        return WORDS.get(self.status, self.status.value.lower().replace("_", " "))

    @property
    def where(self) -> str:
        """Place of the failure: the asset and the check, or the job if the run failed outside its steps."""
        return ": ".join(part for part in (self.asset or self.job, self.check) if part)


def read_outcomes(instance: dg.DagsterInstance, limit: int, failed: bool = False) -> list[Outcome]:
    """Outcomes of the last runs, or of the last failed or refused ones, newest first."""
    if not failed:
        return [read_outcome(instance, record) for record in instance.get_run_records(limit=limit)]
    ended = (read_outcome(instance, record) for record in _records(instance, ENDED_BADLY))
    return list(islice((outcome for outcome in ended if outcome.word in ("failed", "refused")), limit))


def _records(instance: dg.DagsterInstance, statuses: Sequence[dg.DagsterRunStatus]) -> Iterator[dg.RunRecord]:
    """Runs of these statuses, newest first."""
    page: Sequence[dg.RunRecord] = instance.get_run_records(dg.RunsFilter(statuses=statuses), limit=RUNS_A_PAGE)
    while page:
        yield from page
        page = instance.get_run_records(dg.RunsFilter(statuses=statuses), limit=RUNS_A_PAGE, cursor=page[-1].dagster_run.run_id)


def read_outcome(instance: dg.DagsterInstance, record: dg.RunRecord) -> Outcome:
    """The outcome of one run."""
    run = record.dagster_run
    partition = run.tags.get(tags.PARTITION, "")
    if run.job_name == OBSERVE_TRAFFIC:  # partitioned by hour, not by commit
        partition = ""
    done: list[str] = []
    facts: dict[str, Any] = {}
    refusals: dict[str, Problem] = {}
    failed: Problem | None = None
    for event in _events(instance, run.run_id):
        step = event.step_key or ""
        problem = problem_of(event)
        if event.event_type == dg.DagsterEventType.STEP_SUCCESS:
            done.append(step)
        elif event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION:
            facts |= plain_metadata(event.materialization.metadata)
        elif event.event_type == dg.DagsterEventType.STEP_FAILURE:
            failed = failed or problem or refusals.get(step)
        elif problem and problem.severe:
            refusals.setdefault(step, problem)
    reason = why_it_failed(instance, run.run_id) if run.status == dg.DagsterRunStatus.FAILURE and not failed else ""
    return Outcome(
        run_id=run.run_id,
        job=run.job_name,
        status=run.status,
        trigger=tags.trigger_of(run.tags),
        commit=run.tags.get(tags.COMMIT) or partition or str(facts.get("commit") or ""),
        for_commit=bool(partition),
        branch=run.tags.get(tags.BRANCH, ""),
        author=run.tags.get(tags.AUTHOR) or str(facts.get("author") or ""),
        subject=run.tags.get(tags.SUBJECT) or str(facts.get("subject") or ""),
        started=record.start_time,
        ended=record.end_time,
        done=tuple(done),
        asset=failed.asset if failed else "",
        check=failed.check if failed else "",
        reason=failed.reason if failed else reason,
        figures=failed.figures if failed else {},
        refused=run.status in ENDED_BADLY and failed is not None and failed.refused,
        decision=_decision(run.tags),
        name=run.tags.get(tags.NAME, ""),
    )


def _decision(run_tags: Mapping[str, str]) -> str:
    """The decision that a run deploys; empty without a new stage tag."""
    if tags.STAGE_TAG not in run_tags:
        return ""
    return f"{run_tags[tags.STAGE_TAG]} by {run_tags.get(tags.AUTHOR, 'nobody named')}: {run_tags.get(tags.SUBJECT, 'no reason given')}"


def _events(instance: dg.DagsterInstance, run_id: str) -> Iterator[dg.DagsterEvent]:
    """The events that determine the outcome, oldest first."""
    cursor: str | None = None
    while True:
        page = instance.get_records_for_run(run_id, cursor=cursor, of_type=EVENTS, limit=EVENTS_A_PAGE)
        for record in page.records:
            if record.event_log_entry.dagster_event:
                yield record.event_log_entry.dagster_event
        if not page.has_more:
            return
        cursor = page.cursor
