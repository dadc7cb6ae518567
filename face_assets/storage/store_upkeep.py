"""Upkeep of a shared store: what nobody uses goes, small parts are merged, and a person's rows and artifacts are erased.

Machines go on reading and writing meanwhile. A part is written before those that it replaces go; who finds one gone lists them again.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from face_assets.storage.content_store import Entry
from face_assets.storage.object_store import TRIALS, Stored, in_parallel
from face_assets.storage.row_parts import DamagedPartError, read_all, read_index
from face_assets.storage.shared_rows import DAY, ERASED, MD5_DIGITS, PART_BYTES, SUFFIX, photo_digest, write_part
from face_assets.storage.shared_store import ARTIFACTS, OBJECTS, ROWS, SharedStore, manifest_of, object_name

SMALL_PART = PART_BYTES // 8
WORTH_MERGING = 8
PSEUDONYM = re.compile(r"[A-Za-z0-9-]+")


@dataclass(frozen=True)
class StorePruned:
    """The removed things of a store: artifacts, content stores, objects of no artifact, and their bytes; and the number of merged parts."""

    artifacts: int
    content_stores: int
    objects: int
    freed: int
    merged: int


def prune_store(shared: SharedStore, days: int, dry_run: bool) -> StorePruned:
    """Removes artifacts and content stores that no machine used in the last `days` before the last use of any, and merges small parts.

    A use is noted about once a day, by the store's clock. Raises StoreError.
    """
    objects, stores = shared.objects, _content_stores(shared)
    artifacts = objects.listed(ARTIFACTS)
    newest = max((one.modified for one in [*artifacts, *(part for parts in stores.values() for part in parts)]), default=0.0)
    before = newest - days * DAY
    unused = [one for one in artifacts if one.modified < before]
    kept = {one.name for one in artifacts} - {one.name for one in unused}
    settled = newest - DAY  # newer objects may belong to an artifact that is being added
    loose = [one for one in (*_unlisted(shared, kept), *objects.listed(TRIALS)) if one.modified < settled]
    idle = {name: parts for name, parts in stores.items() if max(one.modified for one in parts) < before}
    gone = [*unused, *loose, *(part for parts in idle.values() for part in parts)]
    if not dry_run:
        objects.remove([one.name for one in gone])
    merged = sum(_merge(shared, name, parts, dry_run) for name, parts in stores.items() if name not in idle)
    return StorePruned(len(unused), len(idle), len(loose), sum(one.size for one in gone), merged)


def _content_stores(shared: SharedStore) -> dict[str, list[Stored]]:
    """The objects of each content store, by its folder: parts, and the note of its last use."""
    found = defaultdict(list)
    for one in shared.objects.listed(ROWS):
        found[one.name.rpartition("/")[0]].append(one)
    return dict(found)


def _unlisted(shared: SharedStore, manifests: Iterable[str]) -> list[Stored]:
    """The objects that no manifest lists."""

    def listed(name: str) -> set[str]:
        try:
            files = json.loads(shared.objects.read(name))["files"]
            return {object_name(str(file["sha256"])) for file in files.values()}
        except (FileNotFoundError, ValueError, LookupError, TypeError, AttributeError):
            return set()

    objects = shared.objects.listed(OBJECTS)  # before the manifests are read: what is added later is not among them
    names = {name for some in in_parallel(listed, manifests) for name in some}
    return [one for one in objects if one.name not in names]


def _merge(shared: SharedStore, folder: str, listed: list[Stored], dry_run: bool) -> int:
    """Merges the small parts of a content store; returns their number. Two machines that do so at once leave rows twice, without harm."""
    small = sorted((one for one in listed if one.name.endswith(SUFFIX) and one.size < SMALL_PART), key=lambda one: one.size)
    if len(small) < WORTH_MERGING:
        return 0
    merged = 0
    for group in _groups(small):
        if dry_run:
            merged += len(group)
            continue
        rows: dict[str, Entry] = {}
        read = []
        for one in group:
            try:
                with shared.objects.open(one.name) as file:
                    rows |= {entry.key: entry for entry in read_all(file)}
            except FileNotFoundError:
                continue
            except DamagedPartError:  # its rows are made again, and it goes
                pass
            read.append(one.name)
        if not rows or write_part(shared.objects, folder, [*rows.values()]):
            shared.objects.remove(read)
            merged += len(read)
    return merged


def _groups(parts: list[Stored]) -> list[list[Stored]]:
    groups: list[list[Stored]] = [[]]
    size = 0
    for one in parts:
        if size + one.size > PART_BYTES:
            groups.append([])
            size = 0
        groups[-1].append(one)
        size += one.size
    return [group for group in groups if len(group) > 1]


def erase_person(shared: SharedStore, pseudonym: str, md5s: Collection[str], kept: Callable[[str, str], Path | None]) -> dict[str, int]:
    """Erases the rows of photos, and all artifacts but those that this machine keeps with the same bytes; returns what was done.

    kept: the folder of an artifact, by kind and fingerprint, that this machine has after its own erasure; others are made again. First the
    photos' digests are noted in the store, by which every writer leaves such rows out: one that has just written some removes them, or
    did so before the parts are listed here. Raises StoreError.
    """
    assert PSEUDONYM.fullmatch(pseudonym), pseudonym
    objects = shared.objects
    photos = sorted({photo_digest(md5) for md5 in md5s})
    objects.write(f"{ERASED}/{pseudonym}.json", json.dumps({"format": 1, "photos": photos}).encode())
    rows = 0
    for folder, listed in _content_stores(shared).items():
        for one in listed:
            if one.name.endswith(SUFFIX):
                rows += _erase_rows(shared, folder, one.name, set(md5s))
    unkept = [one.name for one in objects.listed(ARTIFACTS) if not _is_kept(shared, one.name, kept)]
    objects.remove(unkept)
    loose = [one.name for one in _unlisted(shared, [one.name for one in objects.listed(ARTIFACTS)])]
    objects.remove(loose)
    return {"rows": rows, "artifacts": len(unkept), "objects": len(loose), "former_versions": objects.purge()}


def _erase_rows(shared: SharedStore, folder: str, part: str, md5s: set[str]) -> int:
    """Writes a part without the rows of photos in place of one with some; returns their number."""
    try:
        with shared.objects.open(part) as file:
            found = sum(entry.key[:MD5_DIGITS] in md5s for _, entries in read_index(file) for entry in entries)
        if not found:
            return 0
        with shared.objects.open(part) as file:
            others = [entry for entry in read_all(file) if entry.key[:MD5_DIGITS] not in md5s]
    except FileNotFoundError:
        return 0
    except DamagedPartError:  # nobody can say whose rows it has
        found, others = 1, []
    if not others or write_part(shared.objects, folder, others):
        shared.objects.remove([part])
    return found


def _is_kept(shared: SharedStore, manifest_name: str, kept: Callable[[str, str], Path | None]) -> bool:
    kind, _, file = manifest_name.removeprefix(f"{ARTIFACTS}/").partition("/")
    folder = kept(kind, file.removesuffix(".json"))
    if folder is None:
        return False
    try:
        return bool(json.loads(shared.objects.read(manifest_name))["files"] == manifest_of(folder))
    except (FileNotFoundError, ValueError, LookupError, TypeError):
        return False


def rows_of(shared: SharedStore, md5s: Collection[str]) -> int:
    """The number of rows of photos in the store: none after an erasure. Raises StoreError."""
    wanted, found = set(md5s), 0
    for one in shared.objects.listed(ROWS):
        if one.name.endswith(SUFFIX):
            try:
                with shared.objects.open(one.name) as file:
                    found += sum(entry.key[:MD5_DIGITS] in wanted for _, entries in read_index(file) for entry in entries)
            except (FileNotFoundError, DamagedPartError):
                continue
    return found
