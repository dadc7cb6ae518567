"""Retention: removes what no run has used for long; it is remade, or fetched from the DVC remote, when needed."""

import math
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from face_assets.automation.pruning_candidates import PruningCandidate, Sizes, remove, sizes_of
from face_assets.core.errors import UserError
from face_assets.core.files import PARTIAL, lock_path, read_json
from face_assets.registry.availability import not_in_remote
from face_assets.registry.release_commits import RELEASE
from face_assets.registry.releases import Release
from face_assets.registry.workspace import Workspace
from face_assets.serving.model_repository import versions
from face_assets.storage.artifacts import SUMMARY
from face_assets.storage.store_upkeep import StorePruned, prune_store

DAY = 86_400.0
ALIGNED = "aligned_faces"
LEAST_DAYS_OF_STORE = 7
"""Days for which the store that machines share keeps what no machine uses, whatever is asked for."""
STORES = (
    *("crops/*.sqlite", "crops/parts/*/*.sqlite", "inspections/*.sqlite", "embeddings/*.sqlite", "features/*/*.sqlite"),
    "shared/**/*.sqlite",
)


class Reason(Enum):
    """Reason for which a candidate stays."""

    NEEDED = "needed by production, by what was before it, or by the heads of its branches"
    USED = "used since"
    ONLY_HERE = "not known to be in the DVC remote"


@dataclass(frozen=True)
class Pruned:
    """The candidates that were removed, the bytes freed on the disk, what stays and why, and notes on what had to stay."""

    removed: list[PruningCandidate]
    freed: int
    kept: list[tuple[PruningCandidate, Reason]]
    notes: list[str]
    store: StorePruned | None = None


@dataclass(frozen=True)
class PruningPlan:
    """Candidates that go, those that stay with the reasons, and notes."""

    going: list[PruningCandidate]
    staying: list[tuple[PruningCandidate, Reason]]
    notes: list[str]
    workspace: Workspace
    days: int

    def as_done(self) -> Pruned:
        """The outcome of `carry_out` where nothing of it is in use."""
        notes = list(self.notes)
        freed = self._freed([sizes_of(candidate) for candidate in self.going])
        return Pruned(self.going, freed, self.staying, notes, self._store(True, notes))

    def carry_out(self) -> Pruned:
        """Removes what goes, except for what is in use or was used meanwhile."""
        sizes, notes = {candidate: sizes_of(candidate) for candidate in self.going}, list(self.notes)
        removed = [candidate for candidate in self.going if remove(candidate, notes)]
        freed = self._freed([sizes[candidate] for candidate in removed])
        self.workspace.home.linked.sweep()
        return Pruned(removed, freed, self.staying, notes, self._store(False, notes))

    def _store(self, dry_run: bool, notes: list[str]) -> StorePruned | None:
        """Prunes the store that machines share, where there is one that can be written."""
        store = self.workspace.home.shared
        try:
            return prune_store(store, max(self.days, LEAST_DAYS_OF_STORE), dry_run) if store else None
        except UserError as error:
            notes.append(f"{error} It stays as it is.")
            return None

    def _freed(self, removed: Sequence[Sizes]) -> int:
        """Bytes of the files of which all links go, of linked ones those outside the folder of linked files."""
        links = Counter(inode for sizes in removed for inode, _, _ in sizes)
        links.update(inode for inode in self.workspace.home.linked.inodes() if inode in links)
        found = {inode: (size, number) for sizes in removed for inode, size, number in sizes}
        return sum(size for inode, (size, number) in found.items() if links[inode] >= number)


def prune(workspace: Workspace, days: int, dry_run: bool = False) -> Pruned:
    """Carries out `plan_pruning`; `dry_run` only returns what it would remove. Raises UserError where production cannot be known."""
    plan = plan_pruning(workspace, days)
    return plan.as_done() if dry_run else plan.carry_out()


def plan_pruning(workspace: Workspace, days: int) -> PruningPlan:
    """The removal of what no run has used in the last `days` before the last run; with 0, of all that is not needed. No run may be under
    way that lasts longer.

    So a home where nothing runs keeps what it has. What the commits in production and at the heads of its branches need stays, as do
    the releases that are in production, were before it, or can be loaded here. Raises UserError where production cannot be known.
    """
    notes: list[str] = []
    kept = _kept(workspace, notes)
    candidates = [*_artifacts(workspace), *_stores(workspace), *_trainings(workspace)]
    now = time.time()
    before = min(now, max((candidate.used for candidate in candidates), default=now)) - days * DAY if days else math.inf
    kept |= _crops_of(workspace, [candidate for candidate in candidates if candidate.used >= before or kept.intersection(candidate.paths)])
    releases, only_here = _releases(workspace, kept, before, notes)
    candidates += [*_leftovers(workspace), *releases]
    going, staying = [], [(candidate, Reason.ONLY_HERE) for candidate in only_here]
    for candidate in candidates:
        if kept.intersection(candidate.paths):
            staying.append((candidate, Reason.NEEDED))
        elif candidate.used >= before:
            staying.append((candidate, Reason.USED))
        else:
            going.append(candidate)
    return PruningPlan(going, staying, notes, workspace, days)


def _kept(workspace: Workspace, notes: list[str]) -> set[Path]:
    """Folders that production needs, and that a rollback and coming commits probably need."""
    root = workspace.home.root
    if not workspace.settings.repo:
        if (root / "mirrors").is_dir():
            raise UserError("No data repository is named, so what production needs cannot be known: set FACE_ASSETS_REPO.")
        return set()
    try:
        workspace.repository.refresh()
    except (UserError, OSError) as error:
        notes.append(f"{error} What production needs is taken from the last look.")
    now = workspace.stages.production() or next(reversed(workspace.stages.effective()), None)
    staged = [one for one in (now, now and workspace.stages.previous(now), workspace.stages.waiting(), workspace.stages.candidate()) if one]
    commits = {*workspace.production_heads(), *(one.release.trained_commit for one in staged), *(one.commit for one in staged)}
    named = [
        Path(read_json(file)["directory"]) for commit in commits for file in workspace.home.artifact_references.glob(f"*/{commit}.json")
    ]
    releases = {one.release.commit for one in staged} | {one.release_commit for one in versions(workspace.home.serving / "models")}
    # by names relative to the state directory, whose path may have been another when references were written
    found = {root / "artifacts" / one.parent.name / one.name for one in named} | {root / "releases" / one.name for one in named}
    return found | {root / "releases" / commit for commit in releases}


def _artifacts(workspace: Workspace) -> Iterator[PruningCandidate]:
    for folder in _folders(workspace.home.artifacts.root, "*/*"):
        yield PruningCandidate.of("artifacts", [folder], [folder, lock_path(folder)], lock_path(folder))


def _stores(workspace: Workspace) -> Iterator[PruningCandidate]:
    """Content stores, those of trunk features with the folder of their network."""
    for pattern in (
        "crops/*.sqlite",
        "crops/parts/*/*.sqlite",
        "inspections/*.sqlite",
        "embeddings/*.sqlite",
        "features/*/*.sqlite",
        "shared/**/*.sqlite",
    ):
        for file in workspace.home.root.glob(pattern):
            # the journal first: SQLite reads a store without its journal, but not one with a foreign journal
            paths = [*(file.with_name(file.name + end) for end in ("-wal", "-shm")), file, file.with_suffix("")]
            kind = f"stores of {file.relative_to(workspace.home.root).parts[0]}"
            yield PruningCandidate.of(kind, paths, [file, lock_path(file)], lock_path(file))


def _crops_of(workspace: Workspace, staying: Sequence[PruningCandidate]) -> set[Path]:
    """Crop stores of the kept lists of aligned faces, which runs read without making the lists."""
    summaries = [path / SUMMARY for candidate in staying for path in candidate.paths if path.parent.name == ALIGNED]
    return {workspace.home.root / "crops" / f"{read_json(file)['detector']}.sqlite" for file in summaries if file.is_file()}


def _trainings(workspace: Workspace) -> Iterator[PruningCandidate]:
    """Checkpoints of unfinished trainings."""
    for folder in _folders(workspace.home.training, "*"):
        lock = lock_path(workspace.home.artifacts.root / "face_embedder" / folder.name)
        yield PruningCandidate.of("checkpoints", [folder], [lock, folder, *folder.rglob("*")], lock)


def _leftovers(workspace: Workspace) -> Iterator[PruningCandidate]:
    """Partial folders that killed processes left."""
    root = workspace.home.root
    for pattern in ("artifacts/*/", "releases/", "features/*/", "training/"):
        for folder in root.glob(f"{pattern}{PARTIAL}*"):
            yield PruningCandidate.of(
                "leftovers", [folder], [folder], lock_path(folder.with_name(folder.name[len(PARTIAL) :].rpartition("-")[0]))
            )


def _releases(
    workspace: Workspace, kept: set[Path], before: float, notes: list[str]
) -> tuple[list[PruningCandidate], list[PruningCandidate]]:
    """Releases on this machine: fetched bundles, and files of the DVC cache that no other release needs. The unused ones that the DVC
    remote is not known to have are returned as the second list."""
    if not workspace.settings.repo:
        return [], []
    repository = workspace.repository
    found: list[tuple[Release, list[Path], PruningCandidate]] = []
    for release in workspace.releases.all():
        folder = workspace.releases.folder(release)
        try:
            cached = repository.cached_files(release.commit, RELEASE)
        except UserError as error:
            notes.append(str(error))
            continue
        if cached or folder.is_dir():
            usage_files = [folder, lock_path(folder), *cached[-1:]]
            locks = workspace.releases.fetching, workspace.releases.registering
            found.append((release, cached, PruningCandidate.of("releases", [folder, *cached], usage_files, *locks)))
    unused = [release for release, _, candidate in found if candidate.used < before and not kept.intersection(candidate.paths)]
    going = _in_remote(workspace, unused, notes)
    staying = {path for release, cached, _ in found if release.version not in going for path in cached}
    only_here = [candidate for release, _, candidate in found if release in unused and release.version not in going]
    others = [
        replace(candidate, paths=tuple(path for path in candidate.paths if path not in staying)) if release.version in going else candidate
        for release, _, candidate in found
        if release not in unused or release.version in going
    ]
    return others, only_here


def _in_remote(workspace: Workspace, releases: Sequence[Release], notes: list[str]) -> set[str]:
    """Versions whose files are all in the DVC remote, by one query for the releases with the same remote."""
    repository = workspace.repository
    groups = defaultdict(list)
    for release in releases:
        if repository.is_listed(release.commit, RELEASE):
            groups[repository.read(release.commit, ".dvc/config")].append(release)
    found = set()
    for group in groups.values():
        asked = {f"{one.version} {file.path}": file.md5 for one in group for file in repository.files(one.commit, RELEASE)}
        asked |= {one.version: pointer.md5 for one in group if (pointer := repository.pointer(one.commit, RELEASE))}
        try:
            lacking = not_in_remote(repository, group[-1].commit, asked, len(group))
        except (UserError, OSError) as error:  # OSError: a full disk, on which the query needs a little space
            notes.append(f"The DVC remote cannot be asked, so {', '.join(one.version for one in group)} stay: {error}")
            continue
        lost = sorted({name.split(" ")[0] for name in lacking})
        notes += [f"{version} is not in the DVC remote: it stays." for version in lost]
        found |= {one.version for one in group} - set(lost)
    return found


def _folders(root: Path, pattern: str) -> Iterator[Path]:
    """Complete folders."""
    return (path for path in root.glob(f"{pattern}/") if not path.name.startswith("."))
