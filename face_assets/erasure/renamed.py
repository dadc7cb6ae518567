"""Ids of commits that a rewritten history changed, put in place of the former ones in the state directory and in databases."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from face_assets.erasure.files import change_database, change_file, is_database, is_store
from face_assets.erasure.state import files_with_content
from face_assets.event_log import databases
from face_assets.registry.workspace import Workspace

ID = re.compile(rb"(?<![0-9a-f])(?:[0-9a-f]{40}|[0-9a-f]{12})(?![0-9a-f])")
"""An id, or its first 12 digits, by which the platform shows it."""
SHOWN = 12
BY_CONTENT = ("artifacts", "releases", "models")
"""Folders with files whose digests count, or that share their bytes with DVC's cache."""
ENOUGH = 8000


class Renaming:
    """Former ids and their new ones."""

    def __init__(self, commits: Mapping[str, str] = MappingProxyType({})):
        self._ids: dict[bytes, bytes] = {}
        for old, new in commits.items():
            self.add(old, new)

    def add(self, old: str, new: str) -> None:
        """Adds a whole id, and its short form."""
        self._ids |= {old.encode(): new.encode(), old[:SHOWN].encode(): new[:SHOWN].encode()}

    def changed(self, content: bytes) -> bytes:
        """The bytes with new ids in place of former ones."""
        return ID.sub(lambda found: self._ids.get(found.group(), found.group()), content)

    def changed_text(self, text: str) -> str:
        """The text with new ids in place of former ones."""
        return self.changed(text.encode(errors="surrogatepass")).decode(errors="surrogatepass")


def rename_in_state(workspace: Workspace, commits: Mapping[str, str]) -> dict[str, int]:
    """Puts new ids into names of files, texts and databases of the state directory; returns the number of each that changed.

    Artifacts and bundles keep the ids that are written in them, since their digests count; `DataRepository.resolve` knows these, too.
    """
    renaming = Renaming(commits)
    names = texts = rows = 0
    for file in [file for file in files_with_content(workspace) if not _is_by_content(workspace, file)]:
        if file.stat().st_nlink > 1:
            continue
        if is_database(file):
            rows += 0 if is_store(file) else change_database(file, renaming.changed_text, renaming.changed)
        elif _is_text(file):
            texts += change_file(file, renaming.changed)
    for path in sorted(workspace.home.root.rglob("*"), key=lambda path: -len(path.parts)):
        new = commits.get(path.stem) or commits.get(path.name)
        if new and path.relative_to(workspace.home.root).parts[0] not in ("artifacts", "erasures"):
            names += 1
            _rename(path, path.with_name(path.name.replace(path.stem if path.stem in commits else path.name, new)))
    for address in databases.addresses(workspace.home):
        rows += databases.rewrite(address, renaming.changed_text)
    return {"names": names, "texts": texts, "rows": rows}


def _is_by_content(workspace: Workspace, file: Path) -> bool:
    parts = file.relative_to(workspace.home.root).parts if file.is_relative_to(workspace.home.root) else ()
    return bool(parts) and (parts[0] in BY_CONTENT or (len(parts) > 3 and parts[1] in BY_CONTENT))


def _is_text(file: Path) -> bool:
    with open(file, "rb") as content:
        return b"\0" not in content.read(ENOUGH)


def _rename(path: Path, new: Path) -> None:
    if not new.exists():
        path.rename(new)
    elif path.is_dir():  # of a run that was killed between the two
        shutil.rmtree(path)
    else:
        path.unlink()
