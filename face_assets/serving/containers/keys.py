"""API keys: SHA-256 of 256 random bits, each with a name, revocable one by one."""

import hashlib
import re
import secrets
import time
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

from face_assets.core.errors import UserError
from face_assets.core.files import file_lock, read_json, write_json

OWN = "face-assets"  # of the platform, which uses the same listeners' rules as everybody
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
PREFIX = "fa_"


@dataclass(frozen=True)
class Key:
    """Record of a key, without the key itself."""

    name: str
    digest: str
    created: str


class Keys:
    """The file keys.json of a folder, readable by its owner alone."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.file = folder / "keys.json"

    def all(self) -> list[Key]:
        """Returns the valid keys, oldest first, with the platform's own once it has one."""
        return [Key(**values) for values in read_json(self.file)] if self.file.is_file() else []

    def add(self, name: str) -> str:
        """Returns a new key, which is not stored. Raises UserError for a name that is taken or invalid."""
        if not NAME.fullmatch(name):
            raise UserError(f"A key's name is letters, digits, dots, dashes and underscores, found {name!r}.")
        with self.lock():
            keys = self.all()
            if any(key.name == name for key in keys):
                raise UserError(f"There is a key named {name} already: revoke it first, or take another name.")
            key = PREFIX + secrets.token_urlsafe(32)
            self._write([*keys, Key(name, digest(key), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))])
            return key

    def revoke(self, name: str) -> None:
        """Removes a key. Raises UserError where there is none of that name."""
        with self.lock():
            keys = self.all()
            left = [key for key in keys if key.name != name]
            if len(left) == len(keys):
                raise UserError(f"There is no key named {name}; `face-assets keys list` shows those there are.")
            self._write(left)

    def own(self) -> str:
        """Returns the platform's own key, created at first use and again where the key or its record is lost."""
        file = self.folder / "own.key"
        key = file.read_text(encoding="utf-8").strip() if file.is_file() else ""
        if not any(one.name == OWN and one.digest == digest(key) for one in self.all()):
            if any(one.name == OWN for one in self.all()):
                self.revoke(OWN)
            key = self.add(OWN)
            _write_secret(file, key + "\n")
        return key

    def map(self) -> str:
        """Returns HAProxy's map file: hash of a key → name."""
        return "".join(f"{key.digest} {key.name}\n" for key in self.all())

    def lock(self) -> AbstractContextManager[None]:
        """Returns the lock for changes of the keys and for sending them to the gateway: an older list must not follow a newer one."""
        return file_lock(self.folder / ".keys.lock")

    def _write(self, keys: list[Key]) -> None:
        self.folder.chmod(0o700)
        write_json(self.file, [asdict(key) for key in keys])
        self.file.chmod(0o600)


def digest(key: str) -> str:
    """Returns the digest as HAProxy's sha2(256),hex prints it. A random key of 256 bits needs no salt and no slow hash."""
    return hashlib.sha256(key.encode()).hexdigest().upper()


def _write_secret(file: Path, text: str) -> None:
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_text(text, encoding="utf-8")
