"""Objects by name in a folder or an S3 bucket, each whole or absent, with errors as sentences."""

import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

S3 = "s3://"
TRIALS = "trials"
CONNECTIONS = 8
COPIED_AT_ONCE = 8 << 20  # bytes

T = TypeVar("T")
Item = TypeVar("Item")


@dataclass(frozen=True)
class Stored:
    """An object: its name, its size in bytes, and the time of its last write by the store's clock, in seconds since the epoch."""

    name: str
    size: int
    modified: float


class ObjectStore(ABC):
    """Objects by names such as `a/b.json`; each appears whole. Calls raise FileNotFoundError for one that is absent, else StoreError."""

    address: str

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The bytes of an object."""

    @abstractmethod
    def open(self, name: str) -> BinaryIO:
        """The object, to be read in parts; reading it raises StoreError, too."""

    @abstractmethod
    def write(self, name: str, content: bytes, only_new: bool = False) -> bool:
        """Writes an object. only_new: returns False and changes nothing where it exists."""

    @abstractmethod
    def upload(self, file: Path, name: str) -> None:
        """Writes an object from a file."""

    def download(self, name: str, file: Path) -> None:
        """Writes a file from an object; OSError is one of this machine's disk."""
        with self.open(name) as content, open(file, "xb") as output:
            while chunk := content.read(COPIED_AT_ONCE):
                output.write(chunk)

    @abstractmethod
    def size(self, name: str) -> int | None:
        """The size of an object; None where it is absent."""

    @abstractmethod
    def listed(self, prefix: str) -> list[Stored]:
        """The objects whose names begin with a folder's name and a slash."""

    @abstractmethod
    def remove(self, names: Collection[str]) -> None:
        """Removes objects; absent ones are no error. A bucket with versions keeps their bytes until `purge`."""

    @abstractmethod
    def purge(self) -> int:
        """Removes the bytes of all that was removed, overwritten or never finished, where the storage keeps them; returns their number.

        A writer that is at work may fail, and adds its object again later.
        """

    def now(self) -> float:
        """The time by the store's clock. Writes and removes an object, so it is also a trial of the rights."""
        name = f"{TRIALS}/{secrets.token_hex(8)}"
        self.write(name, b"")
        try:
            return next(one.modified for one in self.listed(TRIALS) if one.name == name)
        finally:
            self.remove([name])


def object_store(address: str) -> ObjectStore:
    """The store of `FACE_ASSETS_STORE`: `s3://bucket/prefix`, or a folder."""
    from face_assets.storage.bucket_store import Bucket
    from face_assets.storage.folder_store import Folder

    return Bucket(address) if address.startswith(S3) else Folder(address)


def in_parallel(work: Callable[[Item], T], items: Iterable[Item]) -> list[T]:
    """The results of `work` for each item, in their order, by a few threads: a call to a store mostly waits."""
    items = list(items)
    if len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return list(pool.map(work, items))
