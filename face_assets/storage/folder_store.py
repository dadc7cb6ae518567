"""A folder as a shared store, such as one of a network file system."""

import os
import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from face_assets.core.files import PARTIAL, write_bytes
from face_assets.storage.object_store import COPIED_AT_ONCE, ObjectStore, Stored
from face_assets.storage.store_errors import Reader, reported


class Folder(ObjectStore):
    """A folder, such as one of a network file system. Its objects are private to the user."""

    def __init__(self, address: str):
        self.address, self.root = address, Path(address)

    @reported
    def read(self, name: str) -> bytes:
        """The bytes of an object."""
        return (self.root / name).read_bytes()

    @reported
    def open(self, name: str) -> BinaryIO:
        """The object, to be read in parts."""
        return Reader(open(self.root / name, "rb"), self.address)  # type: ignore[return-value]

    @reported
    def write(self, name: str, content: bytes, only_new: bool = False) -> bool:
        """Writes an object."""
        target = self.root / name
        if only_new and target.exists():
            return False
        with self._writing():
            if not only_new:
                write_bytes(target, content)
                return True
            aside = target.with_name(f"{PARTIAL}{target.name}-{secrets.token_hex(6)}")
            write_bytes(aside, content)
            try:
                os.link(aside, target)  # fails where it exists, unlike a rename
            except FileExistsError:
                return False
            finally:
                aside.unlink(missing_ok=True)
        return True

    @reported
    def upload(self, file: Path, name: str) -> None:
        """Writes an object from a file."""
        with self._writing():
            _copy(file, self.root / name)

    @reported
    def size(self, name: str) -> int | None:
        """The size of an object."""
        try:
            return (self.root / name).stat().st_size
        except FileNotFoundError:
            return None

    @reported
    def listed(self, prefix: str) -> list[Stored]:
        """The objects below a folder."""
        self._require_root()
        found = []
        for folder, _, names in os.walk(self.root / prefix):
            for name in names:
                if not name.startswith("."):
                    path = Path(folder, name)
                    with suppress(FileNotFoundError):  # removed meanwhile
                        stat = path.stat()
                        found.append(Stored(path.relative_to(self.root).as_posix(), stat.st_size, stat.st_mtime))
        return found

    @reported
    def remove(self, names: Collection[str]) -> None:
        """Removes objects."""
        for name in names:
            (self.root / name).unlink(missing_ok=True)

    @reported
    def purge(self) -> int:
        """Removes what killed writers left; a folder keeps no versions."""
        self._require_root()
        left = [path for path in self.root.rglob(".*") if path.is_file()]
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._require_root()
        try:
            yield
        except FileNotFoundError as error:  # an erasure removed the half file
            raise OSError("it was cleaned meanwhile") from error

    def _require_root(self) -> None:
        """Raises OSError where the folder is absent: one that is not mounted must not be made on the machine's own disk."""
        if not self.root.is_dir():
            raise OSError("the folder is not there: mount it, or make it")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f"{PARTIAL}{target.name}-{secrets.token_hex(6)}")
    try:
        with open(source, "rb") as content, open(aside, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as output:
            while chunk := content.read(COPIED_AT_ONCE):
                output.write(chunk)
            output.flush()
            os.fsync(output.fileno())
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
