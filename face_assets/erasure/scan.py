"""A search of everything that the platform keeps for traces of a person: the proof that an erasure left none."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from face_assets.erasure.files import count_traces
from face_assets.erasure.person import traces_in_history
from face_assets.erasure.state import BY_CONTENT, state_files
from face_assets.erasure.traces import Traces
from face_assets.event_log import databases
from face_assets.registry.dvc_objects import caches
from face_assets.registry.workspace import Workspace


@dataclass
class Found:
    """The outcome of a search. hits: path, redacted → number of traces; history: objects of git with traces, by their kind; similar: file →
    number of stored embeddings like the person's."""

    files: int = 0
    bytes: int = 0
    hits: dict[str, int] = field(default_factory=dict)
    history: dict[str, int] = field(default_factory=dict)
    similar: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The outcome as JSON-able values."""
        return {
            "files": self.files,
            "bytes": self.bytes,
            "traces": sum(self.hits.values()),
            "git_objects_with_traces": self.history,
            "similar_embeddings": self.similar,
        }


def scan_all(workspace: Workspace, traces: Traces, pseudonym: str, objects: Collection[str]) -> Found:
    """The traces in the state directory, the DVC caches and every object of git that a branch or tag reaches.

    objects: of DVC that must not be there, whatever they hold.
    """
    found = Found()
    files = {*state_files(workspace), *(file for name in BY_CONTENT[1:] for file in _below(workspace.home.root / name))}
    for cache in caches(workspace.repository):
        files |= set(_below(cache))
    counted: dict[tuple[int, int], int] = {}
    gone = {f"{md5[:2]}/{md5[2:]}" for md5 in objects}
    for file in sorted(files):
        found.files += 1
        found.bytes += file.stat().st_size
        named = traces.count(str(file.name).encode(errors="surrogateescape")) + ("/".join(file.parts[-2:]) in gone)
        stat = file.stat()
        inode = (stat.st_dev, stat.st_ino)
        if inode not in counted:  # bundles, artifacts and caches share files by hard links
            counted[inode] = count_traces(file, traces)
        if count := named + counted[inode]:
            found.hits[traces.redacted_text(str(file), pseudonym)] = count
    for address in databases.addresses(workspace.home):
        found.files += 1
        for table, column, _, text in databases.texts(address):
            found.bytes += len(text)
            if count := traces.count(text.encode(errors="surrogatepass")):
                place = f"{table}.{column} of the event log"
                found.hits[place] = found.hits.get(place, 0) + count
    found.history = traces_in_history(workspace.repository, traces)
    return found


def _below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
