"""Objects by name in a folder or an S3 bucket, each whole or absent, with errors as sentences."""

import errno
import io
import logging
import os
import secrets
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, wraps
from pathlib import Path
from typing import Any, BinaryIO, Concatenate, ParamSpec, TypeVar

from face_assets.core.credentials import without_credentials
from face_assets.core.errors import UnreachableError
from face_assets.core.files import PARTIAL, write_bytes

S3 = "s3://"
TRIALS = "trials"
CONNECTIONS = 8
DELETED_AT_ONCE = 1000
COPIED_AT_ONCE = 8 << 20  # bytes
SECONDS_TO_CONNECT, SECONDS_TO_READ = 10, 60
SECONDS_OF_REST = 60.0
"""After a failed call the next one is tried so much later, so that work with a store that is down does not wait for it at every step."""
CURES = {
    errno.EACCES: "this machine may not do that there: see its rights and keys",
    errno.EPERM: "this machine may not do that there: see its rights and keys",
    errno.EROFS: "it is read-only",
    errno.ENOSPC: "it is full",
    errno.EDQUOT: "it is full: a quota is used up",
}

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item")


class StoreError(UnreachableError):
    """The store cannot be read or written now. Work that does not depend on it goes on."""


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
    return Bucket(address) if address.startswith(S3) else Folder(address)


def in_parallel(work: Callable[[Item], T], items: Iterable[Item]) -> list[T]:
    """The results of `work` for each item, in their order, by a few threads: a call to a store mostly waits."""
    items = list(items)
    if len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return list(pool.map(work, items))


def store_error(address: str, error: BaseException) -> StoreError:
    """The sentence for an error of a file system or of S3."""
    known = CURES.get(getattr(error, "errno", None) or 0)
    words = without_credentials(" ".join(str(error).split())) or type(error).__name__
    return StoreError(f"The store {without_credentials(address)} failed: {known or words}.")


@cache
def _logged(process: int, sentence: str) -> None:
    logging.getLogger(__name__).warning(sentence)


def warn(sentence: str) -> None:
    """Logs a warning, once in a process."""
    _logged(os.getpid(), sentence)


class _Failures:
    """The last failure of each address in this process."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, StoreError]] = {}
        self._lock = threading.Lock()

    def check(self, address: str) -> None:
        """Raises the last error of an address that failed a short while ago."""
        with self._lock:
            when, error = self._last.get(address, (0.0, None))
        if error and time.monotonic() < when + SECONDS_OF_REST:
            raise error

    def note(self, address: str, error: StoreError) -> None:
        """Notes an error."""
        with self._lock:
            self._last[address] = time.monotonic(), error


_failures = _Failures()


def _reported(method: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
    """Has a method of a store raise FileNotFoundError, or StoreError for all else that fails."""

    @wraps(method)
    def reported(self: Any, *args: P.args, **kwargs: P.kwargs) -> T:
        _failures.check(self.address)
        try:
            return method(self, *args, **kwargs)
        except FileNotFoundError:
            raise
        except Exception as error:  # botocore's and aiohttp's errors have no common base
            found = store_error(self.address, error)
            if not isinstance(error, PermissionError):  # who may not write may read
                _failures.note(self.address, found)
            raise found from error

    return reported  # type: ignore[return-value]


class Folder(ObjectStore):
    """A folder, such as one of a network file system. Its objects are private to the user."""

    def __init__(self, address: str):
        self.address, self.root = address, Path(address)

    @_reported
    def read(self, name: str) -> bytes:
        """The bytes of an object."""
        return (self.root / name).read_bytes()

    @_reported
    def open(self, name: str) -> BinaryIO:
        """The object, to be read in parts."""
        return _Reader(open(self.root / name, "rb"), self.address)  # type: ignore[return-value]

    @_reported
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

    @_reported
    def upload(self, file: Path, name: str) -> None:
        """Writes an object from a file."""
        with self._writing():
            _copy(file, self.root / name)

    @_reported
    def size(self, name: str) -> int | None:
        """The size of an object."""
        try:
            return (self.root / name).stat().st_size
        except FileNotFoundError:
            return None

    @_reported
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

    @_reported
    def remove(self, names: Collection[str]) -> None:
        """Removes objects."""
        for name in names:
            (self.root / name).unlink(missing_ok=True)

    @_reported
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


class _Reader(io.RawIOBase):
    """A file whose errors are StoreError."""

    def __init__(self, file: BinaryIO, address: str):
        self.file, self.address = file, address

    @_reported
    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        try:
            return self.file.read(size)
        except FileNotFoundError as error:
            raise OSError("an object was removed while it was read") from error

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """Moves to an offset, which it returns."""
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        """The present offset."""
        return self.file.tell()

    def close(self) -> None:
        """Closes the file."""
        self.file.close()
        super().close()


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


class Bucket(ObjectStore):
    """A bucket of S3, or a part of one. Endpoint, region and keys are those of the environment (AWS_…) and of AWS's configuration files."""

    def __init__(self, address: str):
        self.address = address.rstrip("/")
        self.bucket, _, self.prefix = self.address.removeprefix(S3).partition("/")

    @property
    def _s3(self) -> Any:
        return _file_system(os.getpid())

    def _path(self, name: str) -> str:
        return f"{self.bucket}/{self._key(name)}"

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    @_reported
    def read(self, name: str) -> bytes:
        """The bytes of an object."""
        return bytes(self._s3.cat_file(self._path(name)))

    @_reported
    def open(self, name: str) -> BinaryIO:
        """The object, to be read in parts."""
        return _Reader(self._s3.open(self._path(name), "rb", cache_type="none"), self.address)  # type: ignore[return-value]

    @_reported
    def write(self, name: str, content: bytes, only_new: bool = False) -> bool:
        """Writes an object. A server that does not know `If-None-Match` overwrites it."""
        try:
            self._s3.pipe_file(self._path(name), content, mode="create" if only_new else "overwrite")
        except FileExistsError:
            return False
        except FileNotFoundError as error:
            raise OSError(f"there is no bucket {self.bucket}: make it") from error
        except Exception as error:
            if only_new and "PreconditionFailed" in f"{error!r}{error.__cause__!r}":
                return False
            raise
        return True

    @_reported
    def upload(self, file: Path, name: str) -> None:
        """Writes an object from a file."""
        try:
            self._s3.put_file(str(file), self._path(name))
        except FileNotFoundError as error:
            raise OSError(f"there is no bucket {self.bucket}: make it") from error

    @_reported
    def size(self, name: str) -> int | None:
        """The size of an object."""
        try:
            return int(self._s3.info(self._path(name))["size"])
        except FileNotFoundError:
            return None

    @_reported
    def listed(self, prefix: str) -> list[Stored]:
        """The objects below a folder (ListObjectsV2, a thousand a call)."""
        found: list[Stored] = []
        start = len(self._key(""))
        more: dict[str, str] = {}
        while True:
            try:
                page = self._s3.call_s3("list_objects_v2", Bucket=self.bucket, Prefix=self._key(f"{prefix}/"), **more)
            except FileNotFoundError as error:
                raise OSError(f"there is no bucket {self.bucket}: make it") from error
            found += [Stored(row["Key"][start:], row["Size"], row["LastModified"].timestamp()) for row in page.get("Contents", ())]
            if not page.get("IsTruncated"):
                return found
            more = {"ContinuationToken": page["NextContinuationToken"]}

    @_reported
    def remove(self, names: Collection[str]) -> None:
        """Removes objects."""
        self._delete([{"Key": self._key(name)} for name in names])

    @_reported
    def purge(self) -> int:
        """Removes former versions and delete markers (ListObjectVersions), and aborts uploads in several parts."""
        uploads = self._s3.call_s3("list_multipart_uploads", Bucket=self.bucket, Prefix=self._key("")).get("Uploads", ())
        for one in uploads:
            self._s3.call_s3("abort_multipart_upload", Bucket=self.bucket, Key=one["Key"], UploadId=one["UploadId"])
        removed = len(uploads)
        more: dict[str, str] = {}
        while True:
            page = self._s3.call_s3("list_object_versions", Bucket=self.bucket, Prefix=self._key(""), **more)
            rows = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
            old = [row for row in rows if not row["IsLatest"] or "Size" not in row]
            self._delete([{"Key": row["Key"], "VersionId": row["VersionId"]} for row in old])
            removed += len(old)
            if not page.get("IsTruncated"):
                return removed
            more = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}

    def _delete(self, objects: list[dict[str, str]]) -> None:
        for start in range(0, len(objects), DELETED_AT_ONCE):
            part = objects[start : start + DELETED_AT_ONCE]
            done = self._s3.call_s3("delete_objects", Bucket=self.bucket, Delete={"Objects": part, "Quiet": True})
            if failed := done.get("Errors"):
                raise OSError(f"{len(failed)} objects stay, such as {failed[0]['Key']}: {failed[0].get('Message') or failed[0]['Code']}")


@cache
def _file_system(process: int) -> Any:
    """The client of S3 of a process, since its connections do not survive a fork."""
    from s3fs import S3FileSystem

    how = {"connect_timeout": SECONDS_TO_CONNECT, "read_timeout": SECONDS_TO_READ, "retries": {"max_attempts": 2}}
    made = S3FileSystem(config_kwargs=how, use_listings_cache=False, skip_instance_cache=True)
    made.retries = 2
    return made
