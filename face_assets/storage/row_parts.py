"""Rows of content stores in columns: immutable parts in Parquet, in which each row has digests of its own."""

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from face_assets.storage.content_store import Entry

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

GROUP_BYTES = 8 << 20
"""Bytes of a row group, which is read as a whole."""
BYTES_OF_FACTS = 400
DIGEST_BYTES = 8
WITHOUT_BLOBS = ["key", "facts", "digest"]


class DamagedPartError(Exception):
    """A part is not what its writer wrote."""


def part_bytes(entries: Sequence[Entry]) -> bytes:
    """A part with the entries, in the columns key, facts (JSON), digest (of both), blob and blob_digest."""
    import pyarrow as pa
    from pyarrow import parquet

    facts = [json.dumps(entry.facts, ensure_ascii=False) for entry in entries]
    table = pa.table(
        {
            "key": pa.array([entry.key for entry in entries], pa.string()),
            "facts": pa.array(facts, pa.string()),
            "digest": pa.array([_digest(f"{entry.key} {fact}".encode()) for entry, fact in zip(entries, facts, strict=True)], pa.binary()),
            "blob": pa.array([entry.blob for entry in entries], pa.binary()),
            "blob_digest": pa.array([_digest(entry.blob) for entry in entries], pa.binary()),
        }
    )
    size = sum(len(entry.blob or b"") + BYTES_OF_FACTS for entry in entries)
    output = io.BytesIO()
    parquet.write_table(
        table,
        output,
        row_group_size=max(1, len(entries) * GROUP_BYTES // max(size, 1)),
        compression="zstd",
        compression_level=1,
        use_dictionary=False,
        write_statistics=False,
    )
    return output.getvalue()


def read_index(file: BinaryIO) -> Iterator[tuple[int, list[Entry]]]:
    """Yields each row group's number and entries, without blobs. Raises DamagedPartError."""
    opened = _opened(file)
    for number in range(opened.num_row_groups):
        yield number, [*_entries(_group(opened, number, WITHOUT_BLOBS), is_whole=False)]


def read_group(file: BinaryIO, number: int) -> list[Entry]:
    """The entries of a row group. Raises DamagedPartError."""
    opened = _opened(file)
    if number >= opened.num_row_groups:
        raise DamagedPartError(f"it has {opened.num_row_groups} row groups, not {number + 1}")
    return [*_entries(_group(opened, number, None), is_whole=True)]


def read_all(file: BinaryIO) -> list[Entry]:
    """All entries of a part. Raises DamagedPartError."""
    opened = _opened(file)
    return [entry for number in range(opened.num_row_groups) for entry in _entries(_group(opened, number, None), is_whole=True)]


def _opened(file: BinaryIO) -> "ParquetFile":
    from pyarrow.parquet import ParquetFile

    with _damage():
        return ParquetFile(file, pre_buffer=True)


def _group(opened: "ParquetFile", number: int, columns: list[str] | None) -> "pa.Table":
    with _damage():
        return opened.read_row_group(number, columns=columns)


@contextmanager
def _damage() -> Iterator[None]:
    """Has Arrow's errors be DamagedPartError; the file itself raises StoreError."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError, LookupError) as error:
        raise DamagedPartError(" ".join(str(error).split())) from error


def _entries(table: "pa.Table", is_whole: bool) -> Iterator[Entry]:
    with _damage():
        columns: list[list[Any]] = [table[name].to_pylist() for name in WITHOUT_BLOBS]
        blobs: list[bytes | None] = table["blob"].to_pylist() if is_whole else [None] * len(table)
        digests = table["blob_digest"].to_pylist() if is_whole else [b""] * len(table)
    for key, facts, digest, blob, blob_digest in zip(*columns, blobs, digests, strict=True):
        if _digest(f"{key} {facts}".encode()) != digest or _digest(blob) != blob_digest:
            raise DamagedPartError("a row has another digest")
        yield Entry(key, json.loads(facts), blob)


def _digest(content: bytes | None) -> bytes:
    return b"" if content is None else hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()
