"""A run that Dagster's daemon was to retry, and passed over, is retried."""

import time
from collections.abc import Iterator, Sequence
from logging import Logger
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.auto_run_reexecution import event_log_consumer
from dagster._daemon.auto_run_reexecution.auto_run_reexecution import filter_runs_to_should_retry

from face_assets.event_log.missed_retries import SECONDS_TO_RETRY, WILL_RETRY, report_missed_retries

RETRIES = {"run_retries": {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": False}}
ORIGIN = RemoteJobOrigin(RemoteRepositoryOrigin(GrpcServerCodeLocationOrigin("localhost", 4000), "__repository__"), "commit_to_live")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(overrides=RETRIES) as made:
        yield made


@pytest.fixture
def retried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that Dagster's daemon finds worth a retry."""
    found: list[str] = []

    def consume(context: Any, records: Sequence[Any], _: Logger) -> Iterator[None]:
        found.extend(run.run_id for run in filter_runs_to_should_retry([one.dagster_run for one in records], context.instance))
        yield

    monkeypatch.setattr(event_log_consumer, "consume_new_runs_for_automatic_reexecution", consume)
    return found


def look(instance: dg.DagsterInstance) -> None:
    """One look of the daemon at the event log."""
    context: Any = SimpleNamespace(instance=instance)
    list(event_log_consumer.EventLogConsumerDaemon().run_iteration(context))


def fail(instance: dg.DagsterInstance, origin: RemoteJobOrigin | None = ORIGIN) -> str:
    """A run that was killed."""
    run = create_run_for_test(instance, job_name="commit_to_live", status=dg.DagsterRunStatus.STARTED, remote_job_origin=origin)
    instance.report_run_failed(run)
    return run.run_id


def test_a_failure_that_the_daemon_read_too_early_is_reported_once_more(
    instance: dg.DagsterInstance, retried: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    look(instance)
    with monkeypatch.context() as patch:  # the daemon looks after the event is stored, before the run counts as failed
        storage = instance.run_storage
        handle = storage.handle_run_event

        def late(*arguments: Any) -> None:
            look(instance)
            handle(*arguments)

        patch.setattr(storage, "handle_run_event", late)
        run = fail(instance)
    look(instance)
    assert retried == []
    stored = instance.get_run_by_id(run)
    assert stored is not None
    assert stored.tags[WILL_RETRY] == "true"
    assert report_missed_retries(instance, time.time()) == []  # the daemon may be about to look
    later = time.time() + SECONDS_TO_RETRY
    assert report_missed_retries(instance, later) == [run]
    look(instance)
    assert retried == [run]
    assert report_missed_retries(instance, later + SECONDS_TO_RETRY) == []


def test_a_run_that_was_retried_and_one_that_cannot_be_are_let_alone(instance: dg.DagsterInstance) -> None:
    done = fail(instance)
    instance.add_run_tags(done, {AUTO_RETRY_RUN_ID_TAG: "another"})
    fail(instance, origin=None)
    assert report_missed_retries(instance, time.time() + SECONDS_TO_RETRY) == []
