"""Runs that failed because the event log's database went away under them: they did nothing wrong, and are launched again."""

import dagster as dg
import sqlalchemy.exc

from face_assets.core.errors import causes

TAG = "dagster/retry_on_asset_or_op_failure"
GIVEN_UP = "DagsterPostgresException"  # dagster-postgres, after its own tries to connect


def is_storage_loss(error: BaseException | None) -> bool:
    """Whether the error, or one that it came of, is a lost connection to the database."""
    return any(
        (isinstance(one, sqlalchemy.exc.DBAPIError) and one.connection_invalidated) or type(one).__name__ == GIVEN_UP
        for one in causes(error)
    )


@dg.failure_hook
def again_after_storage_loss(context: dg.HookContext) -> None:
    """Lets Dagster's retries of runs take this one, too, which otherwise leave failed steps alone: bad data stays bad."""
    if is_storage_loss(context.op_exception):
        context.instance.add_run_tags(context.run_id, {TAG: "true"})
