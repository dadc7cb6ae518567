"""Totals over runs: each counts once, whenever they are read, and as fast over a long history as over a short one."""

import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from face_assets.core.files import read_json, write_json, write_text
from face_assets.event_log.instance import open_instance
from face_assets.event_log.run_totals import count_runs, totals_file
from face_assets.orchestration.partitions import commits
from face_assets.storage.home import Home

GOOD: dict[str, bool] = {}


@dg.asset(partitions_def=commits, check_specs=[dg.AssetCheckSpec("gate", asset="embedder_evaluation", blocking=True)])
def embedder_evaluation(context: dg.AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg]
    return dg.MaterializeResult(check_results=[dg.AssetCheckResult(check_name="gate", passed=GOOD[context.partition_key])])


@dg.asset(deps=[embedder_evaluation])
def recognizer_release() -> None: ...


DEFS = dg.Definitions(
    assets=[embedder_evaluation, recognizer_release],
    jobs=[dg.define_asset_job("commit_to_live", selection="*")],
    executor=dg.in_process_executor,
)


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    with open_instance(Home(home)) as opened:
        yield opened


def run(instance: dg.DagsterInstance, commit: str, good: bool = True) -> str:
    GOOD[commit] = good
    instance.add_dynamic_partitions("commit", [commit])
    done = DEFS.resolve_job_def("commit_to_live").execute_in_process(instance=instance, partition_key=commit, raise_on_error=False)
    return done.run_id


def test_each_run_counts_once_and_when_it_is_over(instance: dg.DagsterInstance, home: Path) -> None:
    run(instance, "a" * 40)
    run(instance, "b" * 40, good=False)
    location = RegisteredCodeLocationOrigin("elsewhere")
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), "commit_to_live")
    began = time.time()
    waiting = instance.add_run(dg.DagsterRun("commit_to_live", status=dg.DagsterRunStatus.QUEUED, remote_job_origin=origin))
    for _ in range(2):
        totals, queue = count_runs(instance, Home(home))
        assert totals.runs == {"commit_to_live": {"done": 1, "refused": 1}}
        assert totals.steps == {"embedder_evaluation": {"done": 1, "refused": 1}, "recognizer_release": {"done": 1}}
        assert totals.checks == {"embedder_evaluation:gate": {"passed": 1, "failed": 1}}
        assert not totals.last_check["embedder_evaluation:gate"].passed
        assert sum(totals.step_seconds["embedder_evaluation"].counts) == 2
        assert queue.states["queued"] == 1
        assert queue.oldest_queued is not None
        assert began <= queue.oldest_queued <= time.time()
    instance.report_run_canceled(waiting)
    run(instance, "c" * 40)
    totals, queue = count_runs(instance, Home(home))
    assert totals.runs == {"commit_to_live": {"done": 2, "refused": 1, "canceled": 1}}
    assert queue.states["queued"] == 0
    assert totals.last_check["embedder_evaluation:gate"].passed


def test_deleted_runs_and_a_broken_file_do_not_stop_the_count(instance: dg.DagsterInstance, home: Path) -> None:
    run(instance, "a" * 40)
    count_runs(instance, Home(home))
    newest = run(instance, "b" * 40)
    count_runs(instance, Home(home))
    instance.delete_run(newest)  # its number may be given again
    run(instance, "c" * 40)
    assert count_runs(instance, Home(home))[0].runs == {"commit_to_live": {"done": 3}}
    write_text(totals_file(Home(home)), "{")
    assert count_runs(instance, Home(home))[0].runs == {"commit_to_live": {"done": 2}}, "counted anew, from what is there"


def test_a_look_does_not_slow_with_history(instance: dg.DagsterInstance, home: Path) -> None:
    """Of runs that were counted before; here by hand, since each would leave a database of its own."""
    first = run(instance, "a" * 40)

    def add(count: int) -> None:
        with closing(sqlite3.connect(Home(home).dagster / "history" / "runs.db")) as runs, runs:
            names = [column[1] for column in runs.execute("PRAGMA table_info(runs)") if column[1] != "id"]
            listed = ", ".join(names)
            row = dict(zip(names, runs.execute(f"SELECT {listed} FROM runs WHERE run_id = ?", (first,)).fetchone(), strict=True))
            ids = [str(uuid.uuid4()) for _ in range(count)]
            rows = [{**row, "run_id": one, "run_body": row["run_body"].replace(first, one)} for one in ids]
            runs.executemany(f"INSERT INTO runs ({listed}) VALUES ({', '.join(f':{name}' for name in names)})", rows)
            newest = runs.execute("SELECT run_id, id FROM runs ORDER BY id DESC LIMIT 10").fetchall()
        kept = read_json(totals_file(Home(home)))
        write_json(totals_file(Home(home)), {**kept, "recent": [one for one, _ in newest], "since": newest[-1][1]})

    def cost() -> float:
        began = time.process_time()
        for _ in range(10):
            totals, _ = count_runs(instance, Home(home))
            assert totals.runs == {"commit_to_live": {"done": 1}}
        return time.process_time() - began

    cost()
    add(20)
    short = min(cost() for _ in range(3))
    add(2000)
    assert min(cost() for _ in range(3)) < 1.5 * short + 0.02
