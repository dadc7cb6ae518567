"""Stored embeddings that are like the person's, searched by cosine in every array of the state directory, whatever its name says.

The person's own go by the md5 of the photo or by the name. One that is left is of a photo under another name, on which the person may be.
"""

import io
import sqlite3
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from face_assets.core.files import write_bytes
from face_assets.dataset.photo_folders import person_key
from face_assets.erasure.files import is_database, is_store
from face_assets.erasure.state import files_with_content
from face_assets.erasure.traces import Traces
from face_assets.registry.workspace import Workspace

Floats = npt.NDArray[np.float32]
SIMILAR = 0.9
"""Cosine of two embeddings that are taken for one person's."""
VECTORS = "embeddings.npz"
"""File beside the journal, which goes with it."""
ROWS_AT_ONCE = 20_000
BYTES_OF_A_FLOAT = 4


def keep_vectors(workspace: Workspace, traces: Traces, folder: Path) -> None:
    """Writes the person's embeddings into the folder of the journal, for the search at the end; once."""
    if (folder / VECTORS).exists():
        return
    output = io.BytesIO()
    np.savez(output, **{str(width): rows for width, rows in _vectors_of(workspace, traces).items()})  # type: ignore[arg-type]
    write_bytes(folder / VECTORS, output.getvalue())


def _vectors_of(workspace: Workspace, traces: Traces) -> dict[int, Floats]:
    """The person's embeddings and templates by their width: float32 (n, width), of unit length."""
    rows: dict[int, list[Floats]] = defaultdict(list)
    for file in (workspace.home.root / "embeddings").glob("*.sqlite"):
        with closing(sqlite3.connect(file)) as connection:
            for key, blob in connection.execute("SELECT key, blob FROM entries WHERE blob IS NOT NULL"):
                if key[:32] in traces.md5s and blob and len(blob) % BYTES_OF_A_FLOAT == 0:
                    rows[len(blob) // BYTES_OF_A_FLOAT].append(np.frombuffer(blob, np.float32)[None])
    for file in workspace.home.root.rglob("gallery.npz"):
        with np.load(file, allow_pickle=False) as stored:
            if {"names", "templates"} <= set(stored.files):
                mine = [person_key(str(name)) in traces.keys for name in stored["names"]]
                found = stored["templates"][np.array(mine, bool)]
                rows[found.shape[1]].append(found)
    joined = {width: np.concatenate(parts) for width, parts in rows.items()}
    return {width: _of_unit_length(found) for width, found in joined.items() if len(found)}


def similar_vectors(workspace: Workspace, folder: Path) -> dict[str, int]:
    """The number of stored embeddings with a cosine over SIMILAR to one of the person's, by the file, relative to the state directory."""
    if not (folder / VECTORS).is_file():
        return {}
    with np.load(folder / VECTORS, allow_pickle=False) as stored:
        mine = {int(width): stored[width] for width in stored.files}
    found: dict[str, int] = {}
    seen = set()
    for file in files_with_content(workspace):
        stat = file.stat()
        if (stat.st_dev, stat.st_ino) in seen:
            continue
        seen.add((stat.st_dev, stat.st_ino))
        if count := sum(_similar(rows, mine[rows.shape[1]]) for rows in _arrays(file, mine)):
            found[str(file.relative_to(workspace.home.root)) if file.is_relative_to(workspace.home.root) else file.name] = count
    return found


def _arrays(file: Path, mine: Mapping[int, Floats]) -> Iterator[Floats]:
    """Yields the arrays of a file, or of its members, whose rows have the width of one of the person's embeddings: (n, width)."""
    if is_database(file):
        if is_store(file):
            yield from _blobs(file, mine)
        return
    with suppress(ValueError, OSError, EOFError, zipfile.BadZipFile):  # no array, or one of Python's objects
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                arrays = [
                    np.load(io.BytesIO(archive.read(name)), allow_pickle=False) for name in archive.namelist() if name.endswith(".npy")
                ]
        else:
            arrays = [np.load(file, allow_pickle=False)] if file.suffix == ".npy" else []
        for array in arrays:
            if array.ndim and array.shape[-1] in mine and array.dtype.kind == "f":
                yield array.reshape(-1, array.shape[-1]).astype(np.float32)


def _blobs(file: Path, mine: Mapping[int, Floats]) -> Iterator[Floats]:
    with closing(sqlite3.connect(file)) as connection:
        for width in mine:
            rows = connection.execute("SELECT blob FROM entries WHERE length(blob) = ?", (BYTES_OF_A_FLOAT * width,))
            while part := rows.fetchmany(ROWS_AT_ONCE):
                yield np.stack([np.frombuffer(blob, np.float32) for (blob,) in part])


def _similar(rows: Floats, mine: Floats) -> int:
    found = 0
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = _of_unit_length(np.nan_to_num(rows[start : start + ROWS_AT_ONCE], posinf=0.0, neginf=0.0))
        found += int(((part @ mine.T).max(axis=1, initial=-1.0) > SIMILAR).sum())
    return found


def _of_unit_length(rows: Floats) -> Floats:
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    found: Floats = (rows / np.maximum(lengths, 1e-12)).astype(np.float32)
    return found
