"""Closing of runs whose process was killed, so that they do not count as running and do not occupy a pool."""

import dagster as dg
from dagster import DefaultRunLauncher

from face_assets.core import processes

UNDER_WAY = (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)
GONE = "the process of the run ended before the run did"


def close_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Marks runs as failed whose process on this machine has ended, and frees their pools. Returns their ids.

    Dagster watches the processes of its own launcher while that runs. A kill of all processes, or of `face-assets run`, leaves runs
    that nothing watches.
    """
    if not isinstance(instance.run_launcher, DefaultRunLauncher):
        return []  # runs may be on other machines, whose processes are not visible here
    running = [run.run_id for run in instance.get_runs(dg.RunsFilter(statuses=list(UNDER_WAY)))]
    return [run for run in running if _is_dead(instance, run) and close(instance, run)]


def close(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Marks a run whose process is gone as failed. Returns False if the run had finished."""
    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished:
        return False
    instance.report_run_failed(run, GONE)
    instance.event_log_storage.free_concurrency_slots_for_run(run_id)
    return True


def _is_dead(instance: dg.DagsterInstance, run_id: str) -> bool:
    """True if the process of the run's first event has ended; a process that began later has reused its number."""
    started = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.RUN_START, limit=1).records
    event = started[0].event_log_entry.dagster_event if started else None
    if event is None or event.pid is None:
        return False
    return not processes.ran_at(event.pid, started[0].event_log_entry.timestamp)
