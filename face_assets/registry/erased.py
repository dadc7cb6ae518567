"""Records of erased people on this machine: the journal of an erasure that is under way, and the certificates of those that ended.

Each lies in a folder of its own, named by the pseudonym. Only a journal names the person; it goes when the certificate is written.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from face_assets.core.files import read_json

FOLDER, JOURNAL, CERTIFICATE = "erasures", "journal.json", "certificate.json"
RENAMED = "commits.json"
"""Former ids of the commits that an erasure has rewritten, with the new ones."""


@dataclass(frozen=True)
class ErasedRelease:
    """A release that knows an erased person. learned: its embedder learned from the person; pseudonym: of the erasure."""

    version: str
    commit: str
    learned: bool
    pseudonym: str


def erasures(home: Path) -> Path:
    """The folder of all records."""
    return home / FOLDER


def names_being_erased(home: Path) -> set[str]:
    """The spellings of the people who are being erased now."""
    return {name for facts in _records(home, JOURNAL) for name in facts["names"]}


def releases_of_erased(home: Path) -> dict[str, ErasedRelease]:
    """The releases that know a person who was erased or is being erased, by commit."""
    return _releases(home, [*_records(home, JOURNAL), *_records(home, CERTIFICATE)])


def releases_out_of_use(home: Path) -> dict[str, ErasedRelease]:
    """Those of `releases_of_erased` that nothing may serve any more, by commit: where another release is live by now."""
    return _releases(home, [*(facts for facts in _records(home, JOURNAL) if facts["replaced"]), *_records(home, CERTIFICATE)])


def renamed_commit(home: Path, commit: str) -> str:
    """The id of a commit by now: another one where an erasure has rewritten the history since."""
    maps = [_map_of(file, file.stat().st_mtime_ns) for file in erasures(home).glob(f"*/{RENAMED}")]
    seen: set[str] = set()
    while commit not in seen:
        seen.add(commit)
        commit = next((found[commit] for found in maps if commit in found), commit)
    return commit


@lru_cache(maxsize=64)
def _map_of(file: Path, _: int) -> Mapping[str, str]:
    found: dict[str, str] = read_json(file)
    return found


def _releases(home: Path, records: list[dict[str, Any]]) -> dict[str, ErasedRelease]:
    rows = [
        {**one, "commit": renamed_commit(home, one["commit"])} | {"pseudonym": facts["pseudonym"]}
        for facts in records
        for one in facts["releases"]
    ]
    return {row["commit"]: ErasedRelease(**row) for row in rows}


def _records(home: Path, name: str) -> list[dict[str, Any]]:
    found = []
    for file in sorted(erasures(home).glob(f"*/{name}")):
        with suppress(FileNotFoundError):  # an erasure that has just ended has no journal any more
            found.append(read_json(file))
    return found
