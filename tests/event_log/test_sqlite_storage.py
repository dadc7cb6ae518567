"""Dagster's databases whose connections stay open."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest

from face_assets.event_log.instance import open_instance
from face_assets.event_log.sqlite_storage import MOST_RUNS, OpenEventLogStorage
from face_assets.storage.home import Home


@dg.op
def nothing() -> None: ...


@dg.job
def job() -> None:
    nothing()


def _open_files(folder: Path) -> set[str]:
    paths = [str(file.readlink()) for file in Path("/proc/self/fd").iterdir() if file.is_symlink()]
    return {Path(path).name for path in paths if path.startswith(str(folder)) and path.endswith(".db")}


def test_connections_stay_open_and_all_are_closed_with_the_instance(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with open_instance(home) as instance:
        assert isinstance(instance.event_log_storage, OpenEventLogStorage)
        run_ids = [job.execute_in_process(instance=instance).run_id for _ in range(MOST_RUNS + 1)]
        files = _open_files(tmp_path)
        assert files >= {"runs.db", "index.db", f"{run_ids[-1]}.db"}
        assert f"{run_ids[0]}.db" not in files, "the file of the oldest run is closed"
        assert instance.all_logs(run_ids[0]), "and opened again where it is read"
    assert _open_files(tmp_path) == set(), "a fork after this inherits no open database"
    with open_instance(home) as instance:
        assert len(instance.get_runs()) == MOST_RUNS + 1


def test_an_open_connection_keeps_no_lock_and_sees_what_others_write(tmp_path: Path) -> None:
    with open_instance(Home(tmp_path)) as instance:
        run_id = job.execute_in_process(instance=instance).run_id
        index = Home(tmp_path).dagster / "history" / "runs" / "index.db"
        with closing(sqlite3.connect(index, timeout=0)) as other:
            other.execute("DELETE FROM event_logs")
            other.commit()
            busy, *_ = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            assert busy == 0, "an erasure empties SQLite's log"
            other.execute("VACUUM")
        assert instance.event_log_storage.fetch_run_status_changes(dg.DagsterEventType.RUN_SUCCESS, limit=5).records == []
        assert instance.get_run_by_id(run_id)


def test_threads_share_a_storage(tmp_path: Path) -> None:
    with open_instance(Home(tmp_path)) as instance:
        threads = [threading.Thread(target=instance.add_dynamic_partitions, args=("commits", [str(number)])) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(instance.get_dynamic_partitions("commits")) == 8


def test_a_failed_statement_is_undone(tmp_path: Path) -> None:
    storage = OpenEventLogStorage(str(tmp_path))
    with pytest.raises(ZeroDivisionError), storage.index_connection() as connection:
        connection.exec_driver_sql("INSERT INTO dynamic_partitions (partitions_def_name, partition) VALUES ('a', 'b')")
        raise ZeroDivisionError
    with storage.index_connection() as connection:
        assert connection.exec_driver_sql("SELECT COUNT(*) FROM dynamic_partitions").scalar() == 0
    storage.dispose()


def test_migrations_are_loaded_for_a_new_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_instance(Home(tmp_path)) as instance:
        run_id = job.execute_in_process(instance=instance).run_id

    def forbidden(*_: object) -> None:
        raise AssertionError("migrations were loaded")

    for module in ("event_log.sqlite.sqlite_event_log", "runs.sqlite.sqlite_run_storage", "schedules.sqlite.sqlite_schedule_storage"):
        monkeypatch.setattr(f"dagster._core.storage.{module}.check_alembic_revision", forbidden)
    with open_instance(Home(tmp_path)) as instance:
        assert instance.all_logs(run_id)
        assert instance.get_dynamic_partitions("commits") == []
        assert instance.all_instigator_state() == []
