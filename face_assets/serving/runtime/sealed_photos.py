"""Photos of matches for the record of use: encrypted to a public key whose private half is elsewhere, and deleted after some days."""

import hashlib
import importlib.util
import io
import json
import os
import shutil
import sys
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

RECIPIENT = "FACE_ASSETS_RECORD_PHOTOS_TO"
"""Public key of age (age-encryption.org); without it no photo is kept."""
DAYS = "FACE_ASSETS_RECORD_PHOTO_DAYS"
LIBRARY = "FACE_ASSETS_RECORD_LIBRARY"
"""Folder of the package pyrage, which the serving environment does not have."""
PHOTOS = "photos"


class SealedPhotos:
    """Keeps FOLDER/DAY/SHA256.age. Several threads may use it."""

    def __init__(self, folder: Path, recipient: str, days: int, library: Path, clock: Callable[[], float] = time.time):
        """Raises an error of pyrage for a recipient that is none. days: that a photo is kept."""
        self.folder, self.days, self._clock = folder, days, clock
        age = _load(library)
        key = age.x25519.Recipient.from_str(recipient)
        self._seal: Callable[[bytes], bytes] = lambda content: age.encrypt(content, [key])
        self._expired: str | None = None  # the day on which the last ones were deleted

    def keep(self, photos: Sequence[bytes], matches: Sequence[Mapping[str, Any]]) -> str:
        """Keeps photos with whom they matched, as an encrypted zip; returns its SHA-256. Raises OSError."""
        sealed = self._seal(_zipped(photos, matches))
        digest = hashlib.sha256(sealed).hexdigest()
        file = self.folder / self._day() / f"{digest}.age"
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        out = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(out, "wb") as written:
                written.write(sealed)
                written.flush()
                os.fdatasync(out)
        except OSError:
            with suppress(OSError):
                file.unlink()
            raise
        return digest

    def expire(self) -> None:
        """Deletes the photos of days that are over for `days`, once a day."""
        if self._expired == self._day():
            return
        expire(self.folder, self.days, self._clock())
        self._expired = self._day()

    def _day(self) -> str:
        return _day(self._clock())


def expire(folder: Path, days: int, now: float) -> int:
    """Deletes the folders of days more than `days` ago, and returns their number. now: seconds since 1970."""
    oldest = _day(now - timedelta(days=days).total_seconds())
    gone = [one for one in folder.glob("????-??-??") if one.name < oldest]
    for one in gone:
        shutil.rmtree(one, ignore_errors=True)
    return len(gone)


def _day(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"


def _zipped(photos: Sequence[bytes], matches: Sequence[Mapping[str, Any]]) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("match.json", json.dumps(matches, ensure_ascii=False))
        for number, photo in enumerate(photos, 1):
            archive.writestr(f"photo-{number}", photo)
    return output.getvalue()


def _load(library: Path) -> Any:
    """The package pyrage of a folder, whichever packages are installed here."""
    if "pyrage" in sys.modules:
        return sys.modules["pyrage"]
    spec = importlib.util.spec_from_file_location("pyrage", library / "__init__.py", submodule_search_locations=[str(library)])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["pyrage"] = module  # its own import of the compiled part needs it
    spec.loader.exec_module(module)
    return module
