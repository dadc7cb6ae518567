"""Content stores that several machines share: a local store, and immutable parts with the rows of all machines."""

import hashlib
import io
import json
import os
import secrets
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from face_assets.core.batches import batched
from face_assets.core.errors import UnreachableError
from face_assets.core.files import file_lock
from face_assets.storage.content_store import ContentStore, Entry
from face_assets.storage.object_store import ObjectStore, Stored, in_parallel
from face_assets.storage.row_parts import DamagedPartError, part_bytes, read_group, read_index
from face_assets.storage.store_errors import StoreError, warn

SUFFIX, USED = ".parquet", "used"
DAY = 86_400.0
PART_BYTES = 64 << 20
"""Bytes of rows that make a part; so many may be lost to other machines, and to no other, by a kill."""
ROW_BYTES = 1000  # counted for the facts of a row
FETCHED_AT_ONCE = 8
KEYS_AT_ONCE = 5000
MD5_DIGITS = 32
ERASED = "erased"
INDEXED = "SELECT key FROM shared.entries"


class SharedRows:
    """The parts of one content store, and the index of their rows on this machine."""

    def __init__(self, objects: ObjectStore, prefix: str, index: Path):
        self.objects, self.prefix, self.index_path = objects, prefix, index

    def index(self) -> "PartIndex":
        """The index, opened."""
        return PartIndex(self.index_path)

    def refresh(self) -> "PartIndex":
        """The index with the parts that are there now: one listing, and a read of each new part's keys and facts. Raises StoreError."""
        index = self.index()
        listed = self.objects.listed(self.prefix)
        there, known = {one.name for one in listed if one.name.endswith(SUFFIX)}, index.parts()
        for name, groups in zip(new := sorted(there - known), in_parallel(self._keys, new), strict=True):
            index.add(name, groups)
        index.forget(known - there)
        self._note_use(listed)
        return index

    def _note_use(self, listed: list[Stored]) -> None:
        """Notes that a machine uses the rows, once a day; by it they are pruned."""
        name = f"{self.prefix}/{USED}"
        noted = next((one.modified for one in listed if one.name == name), 0.0)
        if listed and abs(time.time() - noted) > DAY:
            with suppress(StoreError):  # who may only read may use them
                self.objects.write(name, b"")

    def _keys(self, part: str) -> list[tuple[int, list[Entry]]]:
        try:
            with self.objects.open(part) as file:
                return [*read_index(file)]
        except FileNotFoundError:  # merged into another meanwhile
            return []
        except DamagedPartError as error:
            warn(f"{part} in the store {self.objects.address} is damaged ({error}): what it held is made again.")
            return []

    def rows(self, part: str, group: int) -> list[Entry]:
        """The rows of a part's row group. Raises FileNotFoundError, DamagedPartError or StoreError."""
        with self.objects.open(part) as file:
            return read_group(file, group)

    def add(self, entries: list[Entry]) -> None:
        """Adds rows as a part, without those of erased people. Raises StoreError."""
        if written := write_part(self.objects, self.prefix, entries):
            name, content = written
            self.index().add(name, read_index(io.BytesIO(content)))


def write_part(objects: ObjectStore, folder: str, entries: list[Entry]) -> tuple[str, bytes] | None:
    """The name and bytes of a new part with the rows, without those of erased people; None where none is left. Raises StoreError."""
    erased = erased_photos(objects)
    while rows := [entry for entry in entries if photo_digest(entry.key) not in erased]:
        name, content = f"{folder}/{secrets.token_hex(16)}{SUFFIX}", part_bytes(rows)
        objects.write(name, content)
        now = erased_photos(objects)
        if now <= erased or not any(photo_digest(entry.key) in now for entry in rows):
            return name, content
        objects.remove([name])  # an erasure began meanwhile, and may have listed the parts before this one was there
        erased = now
    return None


class PartIndex(ContentStore):
    """Keys and facts of the rows in parts; the blob of an entry names its part and row group."""

    def __init__(self, path: Path):
        super().__init__(path)
        with closing(self._connect()) as connection, connection:
            connection.execute("CREATE TABLE IF NOT EXISTS parts (name TEXT PRIMARY KEY)")

    def parts(self) -> set[str]:
        """The parts whose rows it has."""
        with closing(self._connect()) as connection:
            return {name for (name,) in connection.execute("SELECT name FROM parts")}

    def add(self, part: str, groups: Iterable[tuple[int, list[Entry]]]) -> None:
        """Adds the rows of a part, in place of the same ones in others."""
        rows = [
            (entry.key, json.dumps(entry.facts, ensure_ascii=False), f"{part}/{number}".encode())
            for number, entries in groups
            for entry in entries
        ]
        with closing(self._connect()) as connection, connection:
            connection.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?)", rows)
            connection.execute("INSERT OR IGNORE INTO parts VALUES (?)", (part,))

    def forget(self, parts: Collection[str], keep_known: bool = False) -> None:
        """Removes the rows of parts. keep_known: they are not read again."""
        if not parts:
            return
        with closing(self._connect()) as connection, connection:
            for part in parts:
                low, high = f"{part}/".encode(), f"{part}0".encode()  # `0` follows `/`
                connection.execute("DELETE FROM entries WHERE blob > ? AND blob < ?", (low, high))
                if not keep_known:
                    connection.execute("DELETE FROM parts WHERE name = ?", (part,))

    def places(self, keys: Iterable[str]) -> dict[tuple[str, int], set[str]]:
        """Part and row group → those of the keys that it has."""
        found: defaultdict[tuple[str, int], set[str]] = defaultdict(set)
        for entry in self.entries(keys):
            part, _, group = (entry.blob or b"").decode().rpartition("/")
            found[part, int(group)].add(entry.key)
        return dict(found)


class SharedContentStore(ContentStore):
    """A content store whose rows other machines made, too: theirs count as there, and are fetched when their bytes are read.

    Rows of this machine are added to the store by `publish`, and after each PART_BYTES. While the store fails, this machine's rows are all
    there is, and the next `publish` adds what the store lacks.
    """

    def __init__(self, path: Path, shared: SharedRows):
        super().__init__(path)
        self.shared = shared
        self._index: PartIndex | None = None
        self._new_bytes = 0

    def put(self, entries: Iterable[Entry]) -> None:
        """Adds entries in one transaction; a key that exists on this machine keeps its entry."""
        added = [*entries]
        super().put(added)
        _published.discard(self._place)
        self._new_bytes += sum(len(entry.blob or b"") + ROW_BYTES for entry in added)
        if self._new_bytes > PART_BYTES:
            self.publish()

    def drop(self, keys: Iterable[str]) -> None:
        """Removes the entries of `keys` on this machine, which then makes them anew."""
        keys = [*keys]
        super().drop(keys)
        if keys:
            self.shared.index().drop(keys)

    def missing(self, keys: Iterable[str]) -> list[str]:
        """The keys, each once and in their order, that have no entry on any machine."""
        missing = super().missing(keys)
        index = self._refreshed() if missing else None
        return index.missing(missing) if index else missing

    def each_fact(self, keys: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yields the facts of those keys that have an entry on any machine, a few thousand keys at a time, without reading blobs."""
        for part in batched(keys, KEYS_AT_ONCE):
            found = dict(super().each_fact(part))
            yield from found.items()
            lacking = [key for key in part if key not in found]
            index = self._refreshed() if lacking else None
            if index:
                yield from index.each_fact(lacking)

    def entries(self, keys: Iterable[str]) -> Iterator[Entry]:
        """The entries of `keys` that exist, in no particular order; those of other machines are fetched, and stay on this one.

        Raises UnreachableError where a row that counted as there cannot be fetched.
        """
        wanted = list(dict.fromkeys(keys))
        lacking = super().missing(wanted)
        if lacking and self._refreshed() is not None:
            self._fetch(lacking)
        yield from super().entries(wanted)

    def publish(self) -> None:
        """Adds the rows of this machine that the store lacks, also those that a killed process left, or that were made without a store."""
        self._new_bytes = 0
        if self._place in _published:
            return
        try:
            with file_lock(self.shared.index_path.with_suffix(".publishing")):
                index = self._index = self.shared.refresh()
                for entries in self._batches(index):
                    self.shared.add(entries)
        except StoreError as error:
            warn(f"{error} What this machine made is added to it later.")
        else:
            _published.add(self._place)

    @property
    def _place(self) -> str:
        return f"{os.getpid()} {self.shared.objects.address} {self.path}"

    def _refreshed(self) -> PartIndex | None:
        """The index as of this store's first use; what it was before where the store fails."""
        if self._index is None:
            try:
                self._index = self.shared.refresh()
            except StoreError as error:
                warn(f"{error} Work goes on with what this machine has.")
                return None
        return self._index

    def _fetch(self, keys: list[str]) -> None:
        """Copies rows of other machines into the local store."""
        places = self.shared.index().places(keys)
        for part in batched(places.items(), FETCHED_AT_ONCE):
            for rows in in_parallel(lambda item: self._rows(*item[0]), part):
                super().put(rows)
        if lacking := [key for group in places.values() for key in ContentStore.missing(self, group)]:
            self._index = self.shared.refresh()  # their parts were merged into others
            again = self._index.places(lacking)
            for place in again:
                super().put(self._rows(*place))

    def _rows(self, part: str, group: int) -> list[Entry]:
        try:
            return self.shared.rows(part, group)
        except FileNotFoundError:
            return []
        except DamagedPartError as error:
            self.shared.index().forget([part], keep_known=True)
            raise UnreachableError(
                f"{part} in the store {self.shared.objects.address} is damaged ({error}): run again; what it held is then made again."
            ) from error

    def _batches(self, index: PartIndex) -> Iterator[list[Entry]]:
        """Rows that the index lacks, PART_BYTES at a time."""
        with closing(self._connect()) as connection:
            connection.execute("ATTACH DATABASE ? AS shared", (str(index.path),))
            keys = [key for (key,) in connection.execute(f"SELECT key FROM main.entries WHERE key NOT IN ({INDEXED})")]
        batch: list[Entry] = []
        size = 0
        for entry in super().entries(keys):
            batch.append(entry)
            size += len(entry.blob or b"") + ROW_BYTES
            if size > PART_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch


def photo_digest(key: str) -> str:
    """A digest of the photo of a key, which says nothing without the photo."""
    return hashlib.sha256(key[:MD5_DIGITS].encode()).hexdigest()


_published: set[str] = set()
"""The content stores, by process, store and path, of which the store has all rows."""

_erased: dict[str, frozenset[str]] = {}


def erased_photos(objects: ObjectStore) -> frozenset[str]:
    """The `photo_digest` of each photo of erased people. Raises StoreError."""
    found: frozenset[str] = frozenset()
    for one in objects.listed(ERASED):
        name = f"{objects.address} {one.name}"
        if name not in _erased:
            try:
                _erased[name] = frozenset(json.loads(objects.read(one.name))["photos"])
            except FileNotFoundError:
                continue
        found |= _erased[name]
    return found
