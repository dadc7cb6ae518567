"""API keys: SHA-256 of 256 random bits, each with a name and rights, revocable one by one."""

import hashlib
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from face_assets.core.errors import UserError
from face_assets.core.files import file_lock, read_json, write_json
from face_assets.serving.rights import EARLIER_KEY, NEW_KEY, RIGHTS, parse_rights, rights_text

OWN = "face-assets"  # of the platform, which uses the same listeners' rules as everybody
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
PREFIX = "fa_"
FILES = "/etc/face-assets"  # in the gateway's container


@dataclass(frozen=True)
class Key:
    """Record of a key, without the key itself. rights: None of a key that an earlier version made; rate: requests a second, None for the
    gateway's setting, 0 for no limit; until: end of its validity in seconds since 1970, None without one."""

    name: str
    digest: str
    created: str
    rights: tuple[str, ...] | None = None
    rate: int | None = None
    until: int | None = None

    def allowed(self) -> frozenset[str]:
        """Returns the rights."""
        if self.name == OWN:
            return frozenset(RIGHTS)
        return EARLIER_KEY if self.rights is None else frozenset(self.rights)

    def record(self) -> str:
        """Returns the text of the gateway's map: rights between commas, requests a second, end of validity."""
        rate, until = ("" if value is None else str(value) for value in (self.rate, self.until))
        return f",{rights_text(self.allowed())},:{rate}:{until}"


class Keys:
    """The file keys.json of a folder, readable by its owner alone."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.file = folder / "keys.json"

    def all(self) -> list[Key]:
        """Returns the valid keys, oldest first, with the platform's own once it has one."""
        stored = [Key(**values) for values in read_json(self.file)] if self.file.is_file() else []
        return [key for key in stored if key.until is None or key.until > time.time()]

    def add(self, name: str, rights: Iterable[str] = NEW_KEY, rate: int | None = None) -> str:
        """Returns a new key, which is not stored. Raises UserError for a name that is taken or invalid, and for an unknown right."""
        allowed = tuple(sorted(parse_rights(rights)))
        if not NAME.fullmatch(name):
            raise UserError(f"A key's name is letters, digits, dots, dashes and underscores, found {name!r}.")
        with self.lock():
            keys = self.all()
            if any(key.name == name for key in keys):
                raise UserError(f"There is a key named {name} already: revoke it first, or take another name.")
            key = PREFIX + secrets.token_urlsafe(32)
            self._write([*keys, Key(name, digest(key), _now(), allowed, rate)])
            return key

    def rotate(self, name: str, overlap: float) -> str:
        """Returns another key of the same name, rights and limit; the present ones stay valid for `overlap` seconds. Raises UserError."""
        with self.lock():
            keys = self.all()
            present = [key for key in keys if key.name == name]
            if not present:
                raise _unknown(name)
            key, ends = PREFIX + secrets.token_urlsafe(32), int(time.time() + overlap)
            others = [one if one.name != name else replace(one, until=min(ends, one.until or ends)) for one in keys]
            self._write([*others, replace(present[-1], digest=digest(key), created=_now(), until=None)])
            return key

    def change(self, name: str, rights: Iterable[str] | None, rate: int | None) -> None:
        """Changes the rights or the limit of a key; None leaves them. Raises UserError."""
        allowed = None if rights is None else tuple(sorted(parse_rights(rights)))
        with self.lock():
            keys = self.all()
            if not any(key.name == name for key in keys):
                raise _unknown(name)
            self._write([_changed(key, allowed, rate) if key.name == name else key for key in keys])

    def revoke(self, name: str) -> None:
        """Removes a key. Raises UserError where there is none of that name."""
        with self.lock():
            keys = self.all()
            left = [key for key in keys if key.name != name]
            if len(left) == len(keys):
                raise _unknown(name)
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

    def names(self) -> str:
        """Returns HAProxy's map file: hash of a key → name."""
        return "".join(f"{key.digest} {key.name}\n" for key in self.all())

    def records(self) -> str:
        """Returns HAProxy's map file: hash of a key → rights, limit, end."""
        return "".join(f"{key.digest} {key.record()}\n" for key in self.all())

    def lock(self) -> AbstractContextManager[None]:
        """Returns the lock for changes of the keys and for sending them to the gateway: an older list must not follow a newer one."""
        return file_lock(self.folder / ".keys.lock")

    def _write(self, keys: list[Key]) -> None:
        self.folder.chmod(0o700)
        write_json(self.file, [asdict(key) for key in keys])
        self.file.chmod(0o600)


class Uses:
    """The file key_uses.json of a folder: last use of each key."""

    def __init__(self, folder: Path):
        self.file = folder / "key_uses.json"

    def all(self) -> dict[str, int]:
        """Returns the last uses: name → seconds since 1970."""
        return {str(name): int(moment) for name, moment in read_json(self.file).items()} if self.file.is_file() else {}

    def add(self, found: Mapping[str, int]) -> dict[str, int]:
        """Returns all last uses, with those just found, and stores them."""
        known = self.all()
        merged = known | {name: max(moment, known.get(name, 0)) for name, moment in found.items()}
        if merged != known:
            write_json(self.file, merged)
        return merged


def _unknown(name: str) -> UserError:
    return UserError(f"There is no key named {name}; `face-assets keys list` shows those there are.")


def _changed(key: Key, rights: tuple[str, ...] | None, rate: int | None) -> Key:
    return replace(key, rights=key.rights if rights is None else rights, rate=key.rate if rate is None else rate)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def digest(key: str) -> str:
    """Returns the digest as HAProxy's sha2(256),hex prints it. A random key of 256 bits needs no salt and no slow hash."""
    return hashlib.sha256(key.encode()).hexdigest().upper()


def _write_secret(file: Path, text: str) -> None:
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_text(text, encoding="utf-8")
