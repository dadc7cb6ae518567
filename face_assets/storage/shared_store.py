"""The store of FACE_ASSETS_STORE, which several machines share: artifacts by fingerprint and rows by photo, each made once.

Names in it: `artifacts/KIND/FINGERPRINT.json` lists an artifact's files, whose bytes are `objects/AB/SHA256`, written before; `rows/…` has
the parts of content stores; `erased/PSEUDONYM.json` has digests of the photos of erased people, whose rows nobody adds again. Objects are
added and removed, and never changed.
"""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from face_assets.core.credentials import without_credentials
from face_assets.core.files import new_directory, write_text
from face_assets.core.fingerprint import file_sha256
from face_assets.storage.content_store import ContentStore
from face_assets.storage.object_store import ObjectStore, in_parallel, object_store
from face_assets.storage.shared_rows import DAY, SharedContentStore, SharedRows
from face_assets.storage.store_errors import StoreError, warn

ARTIFACTS, OBJECTS, ROWS = "artifacts", "objects", "rows"
Manifest = dict[str, dict[str, Any]]
"""Path of a file in an artifact → its `sha256` and `size`."""


class SharedStore:
    """Artifacts and rows in a store. Where it fails, a warning is logged, work goes on with what this machine has, and later calls make up
    for what was not written."""

    def __init__(self, objects: ObjectStore, cache_folder: Path):
        """cache_folder: of the indices of rows, on this machine."""
        self.objects, self._cache = objects, cache_folder

    @property
    def address(self) -> str:
        """The store's address, to be shown."""
        return without_credentials(self.objects.address)

    def content_store(self, path: Path, name: str) -> ContentStore:
        """The content store at `path`, with the rows of all machines. name: the same on each, such as `crops/DETECTOR`."""
        return SharedContentStore(path, SharedRows(self.objects, f"{ROWS}/{name}", self._cache / f"{name}.sqlite"))

    def fetch(self, kind: str, fingerprint: str, directory: Path) -> bool:
        """Makes `directory` the artifact of another machine. False where the store has none that is intact, or fails."""
        try:
            manifest = self._manifest(kind, fingerprint)
            if manifest is None:
                return False
            with new_directory(directory) as aside:
                self._download(manifest, aside)
        except StoreError as error:
            warn(f"{error} {kind} is made on this machine if it is not there.")
            return False
        except _DamagedArtifactError as error:
            self._distrust(kind, fingerprint, str(error))
            return False
        _note(directory, self.address)
        return True

    def publish(self, kind: str, fingerprint: str, directory: Path, just_made: bool) -> None:
        """Adds the artifact in `directory` to the store, once.

        just_made: true where nobody has read it yet; where another machine was faster, its artifact then takes the place, so that all
        machines go on with the same bytes.
        """
        if not just_made and not _is_due(directory, self.address):
            return
        name = _manifest_name(kind, fingerprint)
        try:
            manifest = self._manifest(kind, fingerprint)
            if manifest is None:
                manifest = self._upload(directory)
                if not self.objects.write(name, _manifest_bytes(manifest), only_new=True):
                    manifest = self._manifest(kind, fingerprint)
            elif not just_made:
                self.objects.write(name, _manifest_bytes(manifest))  # its time is that of the last use
        except StoreError as error:
            warn(f"{error} {kind} is added to it by a later run.")
            return
        if just_made and manifest is not None and manifest != manifest_of(directory):
            aside = directory.with_name(f".partial-{directory.name}-ours")
            shutil.rmtree(aside, ignore_errors=True)
            directory.rename(aside)
            if not self.fetch(kind, fingerprint, directory):
                aside.rename(directory)
            shutil.rmtree(aside, ignore_errors=True)
            return
        _note(directory, self.address)

    def _manifest(self, kind: str, fingerprint: str) -> Manifest | None:
        try:
            manifest: Manifest = json.loads(self.objects.read(_manifest_name(kind, fingerprint)))["files"]
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            self._distrust(kind, fingerprint, f"its list of files is not JSON: {error}")
            return None
        return manifest

    def _distrust(self, kind: str, fingerprint: str, why: str) -> None:
        """Removes an artifact that is not what its maker wrote, so that it is added anew."""
        warn(f"{kind} {fingerprint} in the store {self.address} is damaged ({why}): it is made again.")
        self._quietly(lambda: self.objects.remove([_manifest_name(kind, fingerprint)]))

    def _upload(self, directory: Path) -> Manifest:
        """Writes the files' bytes, those alone that the store lacks, and returns the manifest."""
        manifest = manifest_of(directory)

        def upload(path: str) -> None:
            name = object_name(manifest[path]["sha256"])
            if self.objects.size(name) != manifest[path]["size"]:
                self.objects.upload(directory / path, name)

        in_parallel(upload, manifest)
        return manifest

    def _download(self, manifest: Manifest, aside: Path) -> None:
        def download(path: str) -> None:
            target = aside / path
            if not target.resolve().is_relative_to(aside.resolve()):
                raise _DamagedArtifactError(f"{path!r} is no file of it")
            target.parent.mkdir(parents=True, exist_ok=True)
            wanted = str(manifest[path]["sha256"])
            try:
                self.objects.download(object_name(wanted), target)
            except FileNotFoundError as error:
                raise _DamagedArtifactError(f"the bytes of {path} are gone") from error
            if file_sha256(target) != wanted:
                self._quietly(lambda: self.objects.remove([object_name(wanted)]))
                raise _DamagedArtifactError(f"{path} has other bytes than those that were written")

        in_parallel(download, manifest)

    def _quietly(self, work: Callable[[], None]) -> None:
        """Does what matters little, where the store lets it be done."""
        try:
            work()
        except StoreError as error:
            warn(str(error))


class _DamagedArtifactError(Exception):
    """An artifact in the store is not what its maker wrote."""


def open_shared(address: str | None, home: Path) -> SharedStore | None:
    """The store of a setting; None without one."""
    return SharedStore(object_store(address), home / "shared") if address else None


def manifest_of(directory: Path) -> Manifest:
    """The manifest of a folder's files."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): {"sha256": file_sha256(path), "size": path.stat().st_size} for path in files}


def object_name(sha256: str) -> str:
    """The name of the object with these bytes."""
    return f"{OBJECTS}/{sha256[:2]}/{sha256}"


def _manifest_name(kind: str, fingerprint: str) -> str:
    return f"{ARTIFACTS}/{kind}/{fingerprint}.json"


def _manifest_bytes(manifest: Manifest) -> bytes:
    return json.dumps({"format": 1, "files": manifest}, sort_keys=True).encode()


def _note_file(directory: Path) -> Path:
    return directory.with_name(f".{directory.name}.shared")


def _note(directory: Path, address: str) -> None:
    """Notes that the store has an artifact."""
    write_text(_note_file(directory), f"{address}\n")


def _is_due(directory: Path, address: str) -> bool:
    """True where the store may lack an artifact, or where its use was noted there more than a day ago."""
    file = _note_file(directory)
    if not file.is_file() or file.read_text(encoding="utf-8").strip() != address:
        return True
    return abs(time.time() - file.stat().st_mtime) > DAY
