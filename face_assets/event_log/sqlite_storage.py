"""Dagster's SQLite storage with connections that stay open between statements.

Dagster's own makes an engine and opens and closes its file for each statement. The last connection to close writes SQLite's log back into
the file. A run of twelve assets does that 900 times, which took a third of the processor time of one that finds everything made.
Dagster also loads all its migrations whenever it opens a file, as at each tick of a sensor. Here it does so for a new file alone.
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self, cast

from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS, create_db_conn_string
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import create_engine
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import QueuePool
from typing_extensions import override

MOST_RUNS = 4
"""Runs whose files stay open, besides that of all runs: a file of a run that was deleted keeps its disk space while it is open."""
MOST_CONNECTIONS = 32
"""Connections to one file at a time, of threads of one process."""


def _engine(url: str) -> Engine:
    """An engine whose connection is rolled back, not closed, when a statement is done with it, so that it keeps no lock."""
    timeout = {"timeout": SQLITE_BUSY_TIMEOUT_SECONDS}
    return create_engine(url, poolclass=QueuePool, pool_size=1, max_overflow=MOST_CONNECTIONS - 1, connect_args=timeout)


def _is_made(url: str) -> bool:
    """True where a file is there and has its tables: Dagster stamps it last."""
    path = Path(url.removeprefix("sqlite:///"))
    if not path.is_file():
        return False
    try:
        with closing(sqlite3.connect(path, timeout=SQLITE_BUSY_TIMEOUT_SECONDS)) as connection:
            return connection.execute("SELECT version_num FROM alembic_version").fetchone() is not None
    except sqlite3.DatabaseError:  # no tables yet; of a broken file Dagster tells more
        return False


class _OpenFile:
    """An engine that is kept, for a storage of one file."""

    _conn_string: str
    _kept: Engine | None = None

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection in a transaction."""
        self._kept = self._kept or _engine(self._conn_string)
        with self._kept.begin() as connection:
            yield connection

    def dispose(self) -> None:
        """Closes the file."""
        if self._kept:
            self._kept.dispose()


class OpenRunStorage(_OpenFile, SqliteRunStorage):
    """The table of runs. schedules: closed together with it, for an instance at its end forgets them."""

    schedules: SqliteScheduleStorage | None = None

    @override
    @classmethod
    def from_local(cls, base_dir: str, inst_data: ConfigurableClassData | None = None) -> Self:
        url = create_db_conn_string(base_dir, "runs")
        return cls(url, inst_data) if _is_made(url) else super().from_local(base_dir, inst_data)

    @override
    def dispose(self) -> None:
        super().dispose()
        if self.schedules:
            self.schedules.dispose()


class OpenScheduleStorage(_OpenFile, SqliteScheduleStorage):
    """The tables of sensors, schedules and their ticks."""

    @override
    @classmethod
    def from_local(cls, base_dir: str, inst_data: ConfigurableClassData | None = None) -> Self:
        url = create_db_conn_string(base_dir, "schedules")
        return cls(url, inst_data) if _is_made(url) else cast("Self", super().from_local(base_dir, inst_data))


class OpenEventLogStorage(SqliteEventLogStorage):
    """The events: a file for each run, and one over all runs."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None):
        self._kept: OrderedDict[str, Engine] = OrderedDict()  # by file, that of the longest pause first
        super().__init__(base_dir, inst_data)

    @override
    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock, self._opened(shard).begin() as connection:  # by Dagster's lock one connection of an instance at a time
            yield connection

    def _opened(self, shard: str) -> Engine:
        """The engine of a file, made at its first use. Only under the lock."""
        if shard not in self._kept:
            url = self.conn_string_for_shard(shard)
            engine = _engine(url)
            if shard not in self._initialized_dbs and not _is_made(url):
                self._initdb(engine)
            self._initialized_dbs.add(shard)
            self._kept[shard] = engine
        self._kept.move_to_end(shard)
        runs = [name for name in self._kept if name != INDEX_SHARD_NAME]
        if len(runs) > MOST_RUNS:
            self._kept.pop(runs[0]).dispose()
        return self._kept[shard]

    @override
    def wipe(self) -> None:
        self._close()
        super().wipe()

    @override
    def dispose(self) -> None:
        self._close()
        super().dispose()

    def _close(self) -> None:
        with self._db_lock:
            while self._kept:
                self._kept.popitem()[1].dispose()


class OpenStorage(DagsterSqliteStorage):
    """All of them, as `storage` of dagster.yaml."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None):
        self.base_dir = base_dir
        self._inst_data = inst_data
        history = Path(base_dir) / "history"
        self._run_storage = OpenRunStorage.from_local(str(history))
        self._event_log_storage = OpenEventLogStorage(str(history / "runs"))
        self._schedule_storage = OpenScheduleStorage.from_local(str(Path(base_dir) / "schedules"))
        self._run_storage.schedules = self._schedule_storage
        super(DagsterSqliteStorage, self).__init__()  # type: ignore[no-untyped-call]

    @override
    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Any) -> "OpenStorage":
        return cls.from_local(inst_data=inst_data, **config_value)
