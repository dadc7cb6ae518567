"""The run of a commit: where it stands, for who waits until the commit is live."""

import time
from dataclasses import dataclass

import dagster as dg

from face_assets.event_log.instance import open_instance
from face_assets.event_log.outcomes import read_outcome
from face_assets.orchestration.jobs import COMMIT_TO_LIVE
from face_assets.orchestration.tags import PARTITION
from face_assets.registry.workspace import Workspace
from face_assets.release.promotion import needs_approval

SECONDS_BETWEEN_LOOKS = 0.25
ENDED = ("live", "refused", "failed", "held")


@dataclass(frozen=True)
class CommitProgress:
    """state: waiting (no run yet), running, live, refused, failed, or held (released, and not in production); run: its id, None without
    one; reason: a sentence where it did not go live."""

    state: str
    run: str | None = None
    reason: str = ""


def progress_of(workspace: Workspace, instance: dg.DagsterInstance, commit: str) -> CommitProgress:
    """The progress of a commit, by its last run in the event log."""
    records = instance.get_run_records(dg.RunsFilter(job_name=COMMIT_TO_LIVE, tags={PARTITION: commit}), limit=1)
    if not records:
        return CommitProgress("waiting")
    run = records[0].dagster_run
    if not run.is_finished:
        return CommitProgress("running", run.run_id)
    if not run.is_success:
        outcome = read_outcome(instance, records[0])
        return CommitProgress("refused" if outcome.refused else "failed", run.run_id, f"{outcome.where}: {outcome.reason}")
    repository, production = workspace.repository, workspace.stages.production()
    if production and repository.is_within(commit, [production.commit]):
        return CommitProgress("live", run.run_id)
    candidate = workspace.stages.candidate()
    if candidate and candidate.commit == commit:
        return CommitProgress("held", run.run_id, f"{candidate.release.version} is the candidate: {needs_approval(candidate.release)}.")
    version = production.release.version if production else "none"
    return CommitProgress("held", run.run_id, f"The release was made, and {version} stays in production: `face-assets releases` says why.")


def wait_for_commit(workspace: Workspace, commit: str, seconds: float) -> CommitProgress:
    """The progress of a commit once it has ended, or after so many seconds."""
    ends = time.monotonic() + seconds
    with open_instance(workspace.home) as instance:
        while True:
            found = progress_of(workspace, instance, commit)
            if found.state in ENDED or time.monotonic() >= ends:
                return found
            time.sleep(SECONDS_BETWEEN_LOOKS)
