"""Alignment in shards: the work of each step, container or machine, and the merge of their results."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from face_assets.core.batches import batched
from face_assets.core.errors import UserError
from face_assets.core.params import Params
from face_assets.core.progress import progress_lines
from face_assets.dataset.manifest import Manifest
from face_assets.dataset.steps import PHOTOS, version_dataset
from face_assets.detection.alignment import align_photos, unaligned
from face_assets.detection.crop_keys import other_keys
from face_assets.detection.detectors import consensus_photos, crop_store, detector_config, detector_networks
from face_assets.registry.workspace import Log, Workspace
from face_assets.storage.content_store import ContentStore

ENTRIES_A_TRANSACTION = 512


@dataclass(frozen=True)
class Shard:
    """One of `count` parts of a commit's photos; `index` counts from 0. A photo's shard depends on its md5 alone."""

    commit: str
    index: int
    count: int

    def holds(self, md5: str) -> bool:
        """True for a photo of this shard."""
        return int(md5[:8], 16) % self.count == self.index


def plan_shards(workspace: Workspace, commit: str, count: int, log: Log) -> list[Shard]:
    """The shards with photos to detect. Fetches their bytes once into the platform's cache, before all shards read them."""
    params = workspace.params(commit)
    photos = _photos(workspace, commit, log)
    missing = _unaligned(crop_store(workspace, params.detector), photos, params)
    workspace.repository.locate(commit, PHOTOS, missing)
    detector_networks(workspace, params.detector)
    shards = [Shard(commit, index, count) for index in range(count)]
    wanted = [shard for shard in shards if any(map(shard.holds, missing))]
    log(f"{len(missing):,} new photos, in {len(wanted)} of {count} shards")
    return wanted


def align_shard(workspace: Workspace, shard: Shard, threads: int, log: Log) -> int:
    """Detects the shard's photos that are neither in the crop store nor in the shard's own file; returns their number.

    Each shard writes a file of its own, so that shards neither wait for one another nor need a file system with locks for SQLite.
    A killed shard resumes where it stopped. `threads`: number of processes that it may start.
    """
    params = workspace.params(shard.commit)
    part = ContentStore(_parts(workspace, shard.commit) / f"{shard.index}-of-{shard.count}.sqlite")
    photos = _photos(workspace, shard.commit, log)
    several = consensus_photos(params.detector, photos)
    mine = [md5 for md5, _ in photos if shard.holds(md5)]
    for store in (crop_store(workspace, params.detector), part):
        mine, _ = unaligned(store, mine, params.photos.max_megapixels, several)
    missing = mine
    if missing:
        log(f"shard {shard.index + 1} of {shard.count}: detecting faces in {len(missing):,} photos")
        files = workspace.repository.locate(shard.commit, PHOTOS, missing)
        progress = progress_lines(log, "aligned")
        networks, config = detector_networks(workspace, params.detector), detector_config(params.detector)
        align_photos(files, part, networks, config, params.photos.max_megapixels, threads, progress, several)
    return len(missing)


def gather_shards(workspace: Workspace, commit: str, log: Log) -> int:
    """Adds every shard's file of the commit to the crop store; returns the number of new photos. Raises UserError where one is missing."""
    params = workspace.params(commit)
    store = crop_store(workspace, params.detector)
    photos = _photos(workspace, commit, log)
    lacking = _unaligned(store, photos, params)
    parts = _parts(workspace, commit)
    for file in sorted(parts.glob("*.sqlite")):
        part = ContentStore(file)
        others = [key for keys in other_keys(part.facts(lacking)).values() for key in keys]
        for entries in batched(part.entries([*lacking, *others]), ENTRIES_A_TRANSACTION):
            store.put(entries)
    store.publish()
    missing = store.missing(lacking)
    if missing:
        raise UserError(
            f"{len(missing):,} of {len(photos):,} photos of commit {commit[:12]} were aligned by no shard (such as {missing[0]}): "
            "run the shards again; what they did is kept."
        )
    shutil.rmtree(parts, ignore_errors=True)
    log(f"{len(lacking):,} photos put into the crop store")
    return len(lacking)


def _parts(workspace: Workspace, commit: str) -> Path:
    """Folder of the shards' files of a commit: one for each detector, like the crop store's file."""
    store = crop_store(workspace, workspace.params(commit).detector).path
    return store.parent / "parts" / f"{store.stem}-{commit}"


def _unaligned(store: ContentStore, photos: Sequence[tuple[str, str]], params: Params) -> list[str]:
    """The photos of which the store lacks a crop that the parameters ask for."""
    several = consensus_photos(params.detector, photos)
    return unaligned(store, (md5 for md5, _ in photos), params.photos.max_megapixels, several)[0]


def _photos(workspace: Workspace, commit: str, log: Log) -> list[tuple[str, str]]:
    """The md5 and the person of each photo of the data set."""
    dataset = version_dataset(workspace, commit, log)
    return [(photo.md5, photo.identity) for photo in Manifest.read(dataset.directory / "manifest.csv").photos]
