"""The git history of a data repository without a person: commits, trees, files and tags that name the person, written anew.

No commit is left out, so that each has exactly one in its place, with its authors and dates. A revision that listed the person points to a
list of the same folder without the person. Objects are written into the mirror, where nothing refers to them before the refs are replaced;
the same history gives the same objects.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import pygit2
from pygit2.enums import ObjectType

from face_assets.core.errors import UserError
from face_assets.erasure.heads import text_without
from face_assets.erasure.person import listing_of_pointer
from face_assets.erasure.renamed import Renaming
from face_assets.erasure.traces import Traces
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.pointer import pointer_to
from face_assets.registry.release_commits import EMAIL, RELEASE
from face_assets.registry.signatures import record_digest

POINTER = ".dvc"
FOLDER, SUBMODULE = b"40000", b"160000"
SIGNATURE = re.compile(rb"^-----BEGIN (?:SSH SIGNATURE|PGP SIGNATURE|PGP MESSAGE|SIGNED MESSAGE)-----$", re.MULTILINE)
SIGNED_BY = (b"gpgsig", b"gpgsig-sha256", b"mergetag")
"""Headers of a commit that hold for its bytes alone."""


@dataclass(frozen=True)
class ChangedRef:
    """A ref that is to be replaced. before: its object; name, after: its name and object then."""

    before: str
    name: str
    after: str


@dataclass
class History:
    """A history written anew.

    commits: id → new id of those that changed; refs: name → change; unsigned: tags that lost their signature; signatures: number of commits
    that lost theirs.
    """

    commits: dict[str, str] = field(default_factory=dict)
    refs: dict[str, ChangedRef] = field(default_factory=dict)
    unsigned: list[str] = field(default_factory=list)
    signatures: int = 0


def history_without(repository: DataRepository, traces: Traces, pseudonym: str, listings: Mapping[str, tuple[str, int] | None]) -> History:
    """The history of all branches and tags of the mirror without the person. Raises UserError where a tag cannot be signed again.

    listings: md5 of a folder's listing → md5 and number of files of the one without the person, None where nobody else is in it.
    """
    return _Writer(repository, traces, pseudonym, listings).write()


class _Writer:
    """Writes objects that name the person anew. Each object is looked at once for each path that it has."""

    def __init__(self, repository: DataRepository, traces: Traces, pseudonym: str, listings: Mapping[str, tuple[str, int] | None]):
        self._repository, self._traces, self._pseudonym, self._listings = repository, traces, pseudonym, listings
        self._objects: Any = pygit2.Repository(str(repository.mirror)).odb
        self._trees: dict[tuple[str, bytes], str | None] = {}
        self._blobs: dict[tuple[str, bytes], str | None] = {}
        self._tags: dict[str, str] = {}
        self._records: dict[bytes, bytes] = {}  # SHA-256 of a release.json → of the new one
        self._found = History()
        self._renaming = Renaming()

    def write(self) -> History:
        """Writes all that the refs of the mirror reach."""
        git, found = self._repository.git, self._found
        for commit in git("rev-list", "--date-order", "--reverse", "--branches", "--tags").decode().split():
            self._commit(commit)
        rows = git("for-each-ref", "--format=%(objectname) %(objecttype) %(refname)", "refs/heads", "refs/tags")
        listed = [row.split(b" ", 2) for row in rows.split(b"\n") if row]
        names = {name.decode(errors="surrogateescape") for *_, name in listed}
        for before, kind, name in ((one.decode(errors="surrogateescape") for one in row) for row in listed):
            after = self._tag(before) if kind == "tag" else found.commits.get(before, before)
            new = self._free(self._redacted(name), names - {name})
            if (after, new) != (before, name):
                found.refs[name] = ChangedRef(before, new, after)
                names = names - {name} | {new}
        return found

    def _free(self, name: str, taken: set[str]) -> str:
        number, free = 1, name
        while free in taken:
            number += 1
            free = f"{name}-{number}"
        return free

    def _redacted(self, name: str) -> str:
        content = name.encode(errors="surrogateescape")
        return self._traces.redacted(content, self._pseudonym).decode(errors="surrogateescape") if self._traces.count(content) else name

    def _read(self, name: str) -> bytes:
        _, content = self._objects.read(pygit2.Oid(hex=name))
        return bytes(content)

    def _write(self, kind: ObjectType, content: bytes) -> str:
        return str(self._objects.write(kind, content))

    def _text(self, content: bytes) -> bytes:
        if self._traces.count(content):
            content = self._traces.redacted(content, self._pseudonym)
        return self._renaming.changed(content)

    def _commit(self, commit: str) -> None:
        content = self._read(commit)
        head, _, message = content.partition(b"\n\n")
        lines = []
        for header in re.split(rb"\n(?! )", head):
            key, _, value = header.partition(b" ")
            if key == b"tree":
                value = (self._tree(value.decode(), b"") or self._write(ObjectType.TREE, b"")).encode()
            elif key == b"parent":
                value = self._found.commits.get(value.decode(), value.decode()).encode()
            elif key not in SIGNED_BY:
                value = self._text(value)
            lines.append((key, value))
        new = b"\n".join(b" ".join(line) for line in lines) + b"\n\n" + self._text(message)
        if new == content:
            return
        kept = [line for line in lines if line[0] not in SIGNED_BY]
        self._found.signatures += len(kept) < len(lines)
        new = b"\n".join(b" ".join(line) for line in kept) + b"\n\n" + self._text(message)
        self._found.commits[commit] = self._write(ObjectType.COMMIT, new)
        self._renaming.add(commit, self._found.commits[commit])

    def _tree(self, tree: str, below: bytes) -> str | None:
        """The tree without the person; None for one of which nothing is left."""
        if (tree, below) in self._trees:
            return self._trees[tree, below]
        content, at, entries, changed = self._read(tree), 0, [], False
        while at < len(content):
            end = content.index(b"\0", at)
            mode, _, name = content[at:end].partition(b" ")
            before, at = content[end + 1 : end + 21].hex(), end + 21
            after = self._entry(mode, before, below + name)
            changed |= after != before
            if after:
                entries.append(mode + b" " + name + b"\0" + bytes.fromhex(after))
        found = (self._write(ObjectType.TREE, b"".join(entries)) if entries else None) if changed else tree
        self._trees[tree, below] = found
        return found

    def _entry(self, mode: bytes, before: str, path: bytes) -> str | None:
        if self._traces.count(path):
            return None
        if mode == SUBMODULE:
            return before
        return self._tree(before, path + b"/") if mode == FOLDER else self._blob(before, path)

    def _blob(self, blob: str, path: bytes) -> str | None:
        """The file without the person; None for one that goes, such as a photo, or bytes with the name that are no text."""
        if (blob, path) not in self._blobs:
            content = self._read(blob)
            new = self._content(path.decode(errors="surrogateescape"), content)
            changed = new is not None and new != content
            self._blobs[blob, path] = None if new is None else self._write(ObjectType.BLOB, new) if changed else blob
        return self._blobs[blob, path]

    def _content(self, path: str, content: bytes) -> bytes | None:
        if hashlib.md5(content, usedforsecurity=False).hexdigest() in self._traces.md5s:
            return None
        if path == f"{RELEASE}.json":
            new = self._renaming.changed(content)
            self._records[record_digest(content).encode()] = record_digest(new).encode()
            return new if not self._traces.count(new) else self._traces.redacted(new, self._pseudonym)
        if path.endswith(POINTER):
            pointer = self._pointer(path.removesuffix(POINTER), content)
            return None if pointer is None or self._traces.count(pointer) else pointer
        if not self._traces.count(content):
            return content
        return None if b"\0" in content else text_without(path, content, self._traces, self._pseudonym)

    def _pointer(self, name: str, content: bytes) -> bytes | None:
        before = listing_of_pointer(content)
        if before is None or before not in self._listings:
            return content
        without = self._listings[before]
        if without is None:
            return None
        md5, files = without
        try:
            return pointer_to(content, PurePosixPath(name).name, md5, None, files, f"{name}{POINTER}")
        except UserError:  # one that an earlier DVC wrote
            return content.replace(before.encode(), md5.encode())

    def _tag(self, tag: str) -> str:
        if tag in self._tags:
            return self._tags[tag]
        content = self._read(tag)
        found = [one.start() for one in SIGNATURE.finditer(content)]
        payload = content[: found[-1]] if found else content
        (kind,) = re.findall(rb"^type (.*)$", payload, re.MULTILINE)[:1]
        target = payload[len(b"object ") :][:40].decode()
        after = self._tag(target) if kind == b"tag" else self._found.commits.get(target, target)
        new = b"object " + after.encode() + self._text(payload[len(b"object ") + 40 :])
        for old, digest in self._records.items():
            new = new.replace(old, digest)
        if new != payload:
            self._tags[tag] = self._write(ObjectType.TAG, self._signed(new) if found else new)
        return self._tags.setdefault(tag, tag)

    def _signed(self, payload: bytes) -> bytes:
        """The tag, signed by the platform where it is the platform's own; a person's loses the signature."""
        name = re.findall(rb"^tag (.*)$", payload, re.MULTILINE)[0].decode(errors="replace")
        signing = self._repository.signing
        if signing.key and re.search(rb"^tagger [^\n]*<%s>" % re.escape(EMAIL.encode()), payload, re.MULTILINE):
            return signing.sign(self._repository.mirror, name, payload, personal=False)
        self._found.unsigned.append(name)
        return payload
