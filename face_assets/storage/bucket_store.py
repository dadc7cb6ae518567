"""A bucket of S3 as a shared store."""

import os
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from face_assets.storage.object_store import S3, ObjectStore, Stored
from face_assets.storage.store_errors import Reader, reported

DELETED_AT_ONCE = 1000
SECONDS_TO_CONNECT, SECONDS_TO_READ = 10, 60


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

    @reported
    def read(self, name: str) -> bytes:
        """The bytes of an object."""
        return bytes(self._s3.cat_file(self._path(name)))

    @reported
    def open(self, name: str) -> BinaryIO:
        """The object, to be read in parts."""
        return Reader(self._s3.open(self._path(name), "rb", cache_type="none"), self.address)  # type: ignore[return-value]

    @reported
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

    @reported
    def upload(self, file: Path, name: str) -> None:
        """Writes an object from a file."""
        try:
            self._s3.put_file(str(file), self._path(name))
        except FileNotFoundError as error:
            raise OSError(f"there is no bucket {self.bucket}: make it") from error

    @reported
    def size(self, name: str) -> int | None:
        """The size of an object."""
        try:
            return int(self._s3.info(self._path(name))["size"])
        except FileNotFoundError:
            return None

    @reported
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

    @reported
    def remove(self, names: Collection[str]) -> None:
        """Removes objects."""
        self._delete([{"Key": self._key(name)} for name in names])

    @reported
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
