"""Names that a client of CompreFace declared before it sends their first photo: nobody is enrolled without one."""

from collections.abc import Iterable
from pathlib import Path

from face_assets.core.files import file_lock, read_json, write_json
from face_assets.dataset.photo_folders import person_key

MOST = 10_000


class DeclaredSubjects:
    """A list of names in a file of the state directory. Its methods block; several threads and processes may call them."""

    def __init__(self, file: Path):
        self._file = file

    def names(self) -> list[str]:
        """Returns the names in the order of their declaration."""
        found: list[str] = read_json(self._file) if self._file.is_file() else []
        return found

    def change(self, add: Iterable[str] = (), remove: Iterable[str] = ()) -> list[str]:
        """Adds and removes names, in any case and Unicode form; returns those that were removed. Keeps the last MOST names."""
        new, gone = list(add), {person_key(name) for name in remove}
        if not new and not any(person_key(name) in gone for name in self.names()):
            return []
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(self._file.with_suffix(".lock")):
            before = self.names()
            removed = [name for name in before if person_key(name) in gone]
            kept = {person_key(name): name for name in [*before, *new] if name not in removed}
            write_json(self._file, list(kept.values())[-MOST:])
        return removed
