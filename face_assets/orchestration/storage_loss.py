"""Retries of runs that failed because the connection to the event log's database was lost."""

import dagster as dg
import sqlalchemy.exc

from face_assets.core.errors import causes

TAG = "dagster/retry_on_asset_or_op_failure"
GIVEN_UP = "DagsterPostgresException"  # dagster-postgres, after its own retries


def is_storage_loss(error: BaseException | None) -> bool:
    """True if the error or one of its causes is a lost connection to the database."""
    return any(
        (isinstance(one, sqlalchemy.exc.DBAPIError) and one.connection_invalidated) or type(one).__name__ == GIVEN_UP
        for one in causes(error)
    )


@dg.failure_hook
def again_after_storage_loss(context: dg.HookContext) -> None:
    """Tags the run for Dagster's run retries, which otherwise ignore runs with failed steps: bad data stays bad."""
    if is_storage_loss(context.op_exception):
        context.instance.add_run_tags(context.run_id, {TAG: "true"})
