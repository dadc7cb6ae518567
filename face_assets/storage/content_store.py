"""Stores of small results by content: one SQLite file of (key, facts, blob), intact after a kill at any point."""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from face_assets.core.batches import batched
from face_assets.core.files import file_lock, lock_path

KEYS_A_QUERY = 500
SECONDS_TO_WAIT = 120.0
PAGE = 16384  # bytes: a crop of 75 KB in 5 pages instead of 19


@dataclass(frozen=True)
class Entry:
    """Entry of a key: JSON-able facts and, where there are any, bytes."""

    key: str
    facts: dict[str, Any]
    blob: bytes | None = None


class ContentStore:
    """Entries by key, written in transactions; several processes may read and write at once, the first entry of a key stays.

    SQLite because thousands of 70 KB blobs read faster from it than from as many files, and a kill cannot damage it.
    """

    def __init__(self, path: Path):
        self.path = path
        # under a lock, since SQLite does not wait where two processes make a file's journal at once
        with file_lock(lock_path(path)), closing(self._connect()) as connection, connection:
            connection.execute(f"PRAGMA page_size={PAGE}")  # of a new file; an existing one keeps its own
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, facts TEXT NOT NULL, blob BLOB)")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=SECONDS_TO_WAIT)
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    @contextmanager
    def kept_open(self) -> Iterator[None]:
        """Keeps the file open in the block, so that no put is the last to close it, which costs a checkpoint."""
        with closing(self._connect()) as connection:
            connection.execute("SELECT key FROM entries LIMIT 1").fetchall()
            yield

    def put(self, entries: Iterable[Entry]) -> None:
        """Adds entries in one transaction; a key that exists keeps its entry."""
        rows = [(entry.key, json.dumps(entry.facts, ensure_ascii=False), entry.blob) for entry in entries]
        with closing(self._connect()) as connection, connection:
            connection.executemany("INSERT OR IGNORE INTO entries VALUES (?, ?, ?)", rows)

    def publish(self) -> None:
        """Makes the entries known to other machines, where the store is shared (shared_rows.py); called by who computed entries."""

    def drop(self, keys: Iterable[str]) -> None:
        """Removes the entries of `keys`."""
        with closing(self._connect()) as connection, connection:
            connection.executemany("DELETE FROM entries WHERE key = ?", [(key,) for key in keys])

    def missing(self, keys: Iterable[str]) -> list[str]:
        """The keys, each once and in their order, that have no entry."""
        wanted = list(dict.fromkeys(keys))
        known = {entry.key for entry in self._select(wanted, "key, '{}', NULL")}
        return [key for key in wanted if key not in known]

    def facts(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The facts of those keys that have an entry, without reading blobs."""
        return dict(self.each_fact(keys))

    def each_fact(self, keys: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yields the same one by one, in no particular order, and of a key that is asked twice perhaps twice: the facts of millions of keys
        need not be in memory."""
        return ((entry.key, entry.facts) for entry in self._select(keys, "key, facts, NULL"))

    def entries(self, keys: Iterable[str]) -> Iterator[Entry]:
        """The entries of `keys` that exist, in no particular order, with their blobs, a few hundred in memory at a time."""
        yield from self._select(list(dict.fromkeys(keys)), "key, facts, blob")

    def _select(self, keys: Iterable[str], columns: str) -> Iterator[Entry]:
        with closing(self._connect()) as connection:
            for part in batched(keys, KEYS_A_QUERY):
                placeholders = ",".join("?" * len(part))
                rows = connection.execute(f"SELECT {columns} FROM entries WHERE key IN ({placeholders})", part).fetchall()
                facts = json.loads(f"[{','.join(row[1] for row in rows)}]")  # parsed together, which is twice as fast
                yield from (Entry(key, fact, blob) for (key, _, blob), fact in zip(rows, facts, strict=True))
