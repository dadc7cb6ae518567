"""A run whose database went away is launched again; one that failed for any other reason is not."""

from typing import Any

import dagster as dg
import pytest
import sqlalchemy.exc
from dagster._core.events import RunFailureReason
from dagster._core.execution.retries import auto_reexecution_should_retry_run

from face_assets.orchestration.storage_loss import again_after_storage_loss


def lost() -> Exception:
    """The error of sqlalchemy when the server closes the connection during a query, wrapped as Dagster may wrap it."""
    error = sqlalchemy.exc.OperationalError("SELECT 1", {}, Exception("server closed the connection"), connection_invalidated=True)
    outer = RuntimeError("the step could not be recorded")
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (lost(), True),
        (sqlalchemy.exc.OperationalError("SELECT 1", {}, Exception("database or disk is full")), False),
        (dg.Failure("bad data"), False),
        (ValueError("a bug"), False),
    ],
)
def test_a_lost_database_alone_lets_dagster_launch_the_run_again(error: Exception, again: bool) -> None:
    @dg.op
    def failing() -> None:
        raise error

    @dg.job(hooks={again_after_storage_loss})
    def job() -> None:
        failing()

    retries: dict[str, Any] = {"run_retries": {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": False}}
    with dg.instance_for_test(overrides=retries) as instance:
        run = instance.get_run_by_id(job.execute_in_process(instance=instance, raise_on_error=False).run_id)
        assert run is not None and run.status == dg.DagsterRunStatus.FAILURE
        assert auto_reexecution_should_retry_run(instance, run, RunFailureReason.STEP_FAILURE) is again
