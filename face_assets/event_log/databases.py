"""The event log where it is a database of PostgreSQL: its texts, read and changed row by row. That of SQLite is files."""

from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa

from face_assets.core.errors import UnreachableError
from face_assets.event_log.instance import open_instance
from face_assets.storage.home import Home

ROWS_AT_ONCE = 1000


def addresses(home: Home) -> list[str]:
    """The addresses of the databases of PostgreSQL that Dagster's instance uses, each once; none on a platform of one machine."""
    with open_instance(home) as instance:
        storages = (instance.event_log_storage, instance.run_storage, instance.schedule_storage)
        found = [str(url) for storage in storages if (url := getattr(storage, "postgres_url", None))]
    return list(dict.fromkeys(found))


def texts(address: str) -> Iterator[tuple[str, str, str, str]]:
    """Yields table, column, row id and text of every text. Raises UnreachableError."""
    with _connected(address) as connection:
        for table, column in _columns(connection):
            query = sa.text(f"SELECT CAST(ctid AS text), CAST({column} AS text) FROM {table} WHERE {column} IS NOT NULL")
            for row, text in connection.execution_options(yield_per=ROWS_AT_ONCE).execute(query):
                yield table, column, row, text


def rewrite(address: str, change: Callable[[str], str]) -> int:
    """Changes texts, and empties the space in which PostgreSQL keeps the old rows; returns the number of changed ones."""
    changed = [(table, column, row, after) for table, column, row, text in texts(address) if (after := change(text)) != text]
    with _connected(address) as connection:
        for table, column, row, text in changed:
            values = {"text": text, "row": row}
            query = f"UPDATE {table} SET {column} = :text WHERE ctid = CAST(:row AS tid) RETURNING CAST(ctid AS text)"
            moved = connection.execute(sa.text(query), values).scalar()
            _follow(changed, table, row, moved)
        connection.commit()
        for table in dict.fromkeys(table for table, *_ in changed):
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(sa.text(f"VACUUM FULL {table}"))
    return len(changed)


def _follow(changed: list[tuple[str, str, str, str]], table: str, row: str, moved: Any) -> None:
    """Replaces a row's id, which an update changes, where other columns of the row are to be changed, too."""
    for place, (other, column, before, text) in enumerate(changed):
        if (other, before) == (table, row):
            changed[place] = (other, column, str(moved), text)


def _connected(address: str) -> sa.Connection:
    try:
        return sa.create_engine(address, poolclass=sa.pool.NullPool).connect()
    except sa.exc.OperationalError as error:
        raise UnreachableError(f"The database of the event log cannot be reached: {error.orig}") from error


def _columns(connection: sa.Connection) -> list[tuple[str, str]]:
    """Table and column of every text, quoted."""
    inspector, quoted = sa.inspect(connection), connection.dialect.identifier_preparer.quote
    return [
        (quoted(table), quoted(column["name"]))
        for table in inspector.get_table_names()
        for column in inspector.get_columns(table)
        if isinstance(column["type"], (sa.String, sa.JSON))
    ]
