"""Traces in files: counted also within archives and databases, and replaced in texts and databases."""

import os
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from face_assets.core.files import write_bytes
from face_assets.erasure.traces import Traces

SQLITE = b"SQLite format 3\0"
CHUNK, OVERLAP = 16 << 20, 4096
SECONDS_TO_WAIT = 60.0
STORE = "entries"


def is_database(file: Path) -> bool:
    """True for a file of SQLite."""
    with open(file, "rb") as content:
        return content.read(len(SQLITE)) == SQLITE


def count_traces(file: Path, traces: Traces) -> int:
    """The number of traces in a file's bytes, and in the members of an archive that compresses them."""
    found = 0
    with open(file, "rb") as content:
        before = b""
        while chunk := content.read(CHUNK):
            found += traces.count(before + chunk) - traces.count(before)  # those on the seam are counted once
            before = chunk[-OVERLAP:]
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            packed = [member for member in archive.infolist() if member.compress_type != zipfile.ZIP_STORED]
            found += sum(traces.count(archive.read(member)) for member in packed)
    return found


def redact_file(file: Path, traces: Traces, pseudonym: str) -> bool:
    """Replaces the traces in a text; False for other files, which stay."""

    def redacted(content: bytes) -> bytes:
        try:
            return traces.redacted_text(content.decode(), pseudonym).encode()
        except UnicodeDecodeError:
            return traces.redacted(content, pseudonym)

    return b"\0" not in file.read_bytes() and change_file(file, redacted)


def change_file(file: Path, change: Callable[[bytes], bytes]) -> bool:
    """Changes a text in place, for a process may be appending to it; False where nothing changes.

    A file with several links is replaced, for the others may be objects that are named by their content.
    """
    content = file.read_bytes()
    changed = change(content)
    if changed == content:
        return False
    mode = file.stat().st_mode
    if file.stat().st_nlink > 1:
        write_bytes(file, changed, mode & 0o777)
        return True
    file.chmod(mode | 0o200)
    with open(file, "r+b") as output:
        output.write(changed)
        output.truncate()
        os.fsync(output.fileno())
    file.chmod(mode)
    return True


def erase_entries(file: Path, traces: Traces) -> int:
    """Removes the entries of a content store whose key begins with one of the person's md5s, and their bytes; returns their number."""
    with closing(_open(file)) as connection:
        with connection:
            keys = [key for (key,) in connection.execute(f"SELECT key FROM {STORE}") if key[:32] in traces.md5s]
            connection.executemany(f"DELETE FROM {STORE} WHERE key = ?", [(key,) for key in keys])
        (free,) = connection.execute("PRAGMA freelist_count").fetchone()
        if keys or free:  # pages that were given up before kept their bytes
            connection.execute("VACUUM")
        _empty_journal(connection)
    return len(keys)


def redact_database(file: Path, traces: Traces, pseudonym: str) -> int:
    """Replaces the traces in every text of a database of SQLite, and removes pictures of faces; returns the number of changed rows."""

    def redacted(content: bytes) -> bytes:
        return traces.redacted(content, pseudonym) if traces.count(content) else content

    return change_database(file, lambda text: traces.redacted_row(text, pseudonym), redacted)


def change_database(file: Path, text: Callable[[str], str], blob: Callable[[bytes], bytes]) -> int:
    """Changes the texts and blobs of a database of SQLite, and leaves no byte of the former ones; returns the number of changed rows."""
    with closing(_open(file)) as connection:
        changed = 0
        with connection:
            for table, column in list(_columns(connection)):
                changed += _change_column(connection, table, column, text, blob)
        (free,) = connection.execute("PRAGMA freelist_count").fetchone()
        if changed or free:
            connection.execute("VACUUM")
        _empty_journal(connection)
    return changed


def is_store(file: Path) -> bool:
    """True for a content store."""
    with closing(_open(file)) as connection:
        rows = connection.execute("SELECT name FROM pragma_table_info(?)", (STORE,)).fetchall()
    return [name for (name,) in rows] == ["key", "facts", "blob"]


def _open(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=SECONDS_TO_WAIT)
    connection.execute("PRAGMA secure_delete=ON")  # SQLite otherwise leaves deleted bytes on their page
    return connection


def _empty_journal(connection: sqlite3.Connection) -> None:
    """Moves the write-ahead log into the database and empties it, for it has the pages as they were."""
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _columns(connection: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """Yields table and column of the tables that have row ids."""
    for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"):
        for (column,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,)):
            yield table, column


def _change_column(
    connection: sqlite3.Connection, table: str, column: str, text: Callable[[str], str], blob: Callable[[bytes], bytes]
) -> int:
    name, where = ('"{}"'.format(one.replace('"', '""')) for one in (column, table))
    rows = connection.execute(f"SELECT rowid, {name} FROM {where} WHERE typeof({name}) IN ('text', 'blob')")
    changed: list[tuple[str | bytes, int]] = []
    for row, value in rows:
        after = text(value) if isinstance(value, str) else blob(value)
        if after != value:
            changed.append((after, row))
    connection.executemany(f"UPDATE {where} SET {name} = ? WHERE rowid = ?", changed)
    return len(changed)
