"""Retries that Dagster's daemon missed.

It reads the event of a failure, and passes a run over for good that does not count as failed yet: Dagster stores the event first, and a
database that comes back may take seconds for what follows.
"""

from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG

WILL_RETRY = "dagster/will_retry"
REPORTED = "face_assets/failure_reported_again"
SECONDS_TO_RETRY = 30.0
"""Seconds within which the daemon retries a run; it looks every five."""
LOOKED_BACK = timedelta(hours=1)
WAITED = "its retry did not begin: the failure is reported again, for Dagster's daemon to see it"


def report_missed_retries(instance: dg.DagsterInstance, now: float) -> list[str]:
    """Reports the failures once more of runs that wait for a retry. now: seconds since 1970. Returns the ids of the runs."""
    since = datetime.fromtimestamp(now, UTC) - LOOKED_BACK
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], tags={WILL_RETRY: "true"}, updated_after=since)
    missed = []
    for record in instance.get_run_records(failed):
        run = record.dagster_run
        ended_lately = record.end_time is None or now - record.end_time < SECONDS_TO_RETRY
        # a run without an origin was launched without the daemon, which cannot launch it again
        if ended_lately or run.remote_job_origin is None or {AUTO_RETRY_RUN_ID_TAG, REPORTED} & run.tags.keys():
            continue
        instance.add_run_tags(run.run_id, {REPORTED: "true"})
        instance.report_run_failed(run, WAITED)
        missed.append(run.run_id)
    return missed
