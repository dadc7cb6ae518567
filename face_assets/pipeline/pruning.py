"""Pruning: what no run has used for long goes from the home. All of it is made again, or fetched from the DVC remote, when it is wanted."""

import os
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from face_assets.errors import UserError
from face_assets.files import free_lock, lock_beside, read_json
from face_assets.pipeline.workspace import Workspace
from face_assets.registry.availability import not_in_remote
from face_assets.registry.release import Release

DAY = 86_400.0
PARTIAL = ".partial-"
RELEASE = "release"
BLOCK = 512


@dataclass(frozen=True)
class Piece:
    """What goes as a whole: its paths in the order in which they may go, when it was last used, and the lock that its users take."""

    kind: str
    paths: tuple[Path, ...]
    used: float
    lock: Path


@dataclass(frozen=True)
class Pruned:
    """What was removed, the bytes of the disk that it gave back, and sentences about what had to stay."""

    pieces: list[Piece]
    freed: int
    notes: list[str]


def prune(workspace: Workspace, days: int, dry_run: bool = False) -> Pruned:
    """Removes what no run has used in the last `days` before the last use of anything; `dry_run` only says what that would be.

    So a home where nothing runs keeps what it has. The artifacts of the commits in production and at the heads of its branches stay,
    and so does the release that was in production before. Raises UserError where the data repository was never read.
    """
    notes: list[str] = []
    commits, releases = _kept(workspace, notes)
    kept = _named(workspace, commits) | {workspace.home.root / "releases" / commit for commit in releases}
    pieces = [*_artifacts(workspace), *_stores(workspace), *_trainings(workspace), *_fetched(workspace)]
    now = time.time()
    before = min(now, max((piece.used for piece in pieces), default=now)) - days * DAY
    unused = [piece for piece in pieces if piece.used < before and not kept.intersection(piece.paths)]
    with workspace.releases.registering() if workspace.settings.repo else nullcontext():  # a new release may share files with an old one
        if workspace.settings.repo:
            unused += _cached(workspace, releases, before, notes)
        sizes = {piece: _sizes(piece) for piece in unused}
        removed = unused if dry_run else [piece for piece in unused if _remove(piece)]
    return Pruned(removed, _freed([sizes[piece] for piece in removed]), notes)


def _kept(workspace: Workspace, notes: list[str]) -> tuple[set[str], set[str]]:
    """The commits whose artifacts stay, and the commits of the releases that stay."""
    if not workspace.settings.repo:
        return set(), set()
    try:
        workspace.repository.refresh()
    except (UserError, OSError) as error:
        notes.append(f"{error} What production needs is taken from the last look.")
    held = workspace.stages.held()[-2:]
    now = workspace.stages.production()
    staged = [*held, now] if now else held
    return {*workspace.production_heads(), *(one.release.trained_commit for one in staged)}, {one.release.commit for one in staged}


def _named(workspace: Workspace, commits: set[str]) -> set[Path]:
    """The folders that the handles of the commits name."""
    files = [file for commit in commits for file in workspace.home.handles.glob(f"*/{commit}.json")]
    return {Path(read_json(file)["directory"]) for file in files}


def _artifacts(workspace: Workspace) -> Iterator[Piece]:
    return (_folder("artifacts", folder) for folder in workspace.home.artifacts.root.glob("*/*/"))


def _fetched(workspace: Workspace) -> Iterator[Piece]:
    return (_folder("fetched releases", folder) for folder in (workspace.home.root / "releases").glob("*/"))


def _folder(kind: str, folder: Path) -> Piece:
    """A folder that was made whole, or what a killed process left of one."""
    partial = folder.name.startswith(PARTIAL)
    lock = lock_beside(folder.with_name(folder.name.removeprefix(PARTIAL).rpartition("-")[0]) if partial else folder)
    return Piece("leftovers" if partial else kind, (folder,), _last_use(folder, lock), lock)


def _stores(workspace: Workspace) -> Iterator[Piece]:
    """Stores by content; beside one with trunk features stands the folder of its network."""
    for pattern in ("crops/*.sqlite", "inspections/*.sqlite", "embeddings/*.sqlite", "features/*/*.sqlite"):
        for file in workspace.home.root.glob(pattern):
            lock = lock_beside(file)
            # the journal first: without it SQLite still finds all but the newest entries, and with another's it would not
            paths = (*(file.with_name(file.name + end) for end in ("-wal", "-shm")), file, file.with_suffix(""))
            yield Piece(f"stores of {file.relative_to(workspace.home.root).parts[0]}", paths, _last_use(file, lock), lock)


def _trainings(workspace: Workspace) -> Iterator[Piece]:
    """Checkpoints of trainings that never ended."""
    for folder in workspace.home.training.glob("*/"):
        lock = lock_beside(workspace.home.artifacts.root / "face_embedder" / folder.name)
        yield Piece("checkpoints", (folder,), _last_use(lock, folder, *folder.rglob("*")), lock)


def _cached(workspace: Workspace, kept: set[str], before: float, notes: list[str]) -> list[Piece]:
    """Releases in the platform's DVC cache that the DVC remote has."""
    pieces, staying = [], set[Path]()
    for release in workspace.releases.all():
        held = workspace.repository.held(release.commit, RELEASE)
        if held:
            lock = lock_beside(workspace.releases.folder(release))
            pieces.append((release, Piece("releases in the DVC cache", tuple(held), _last_use(lock, held[-1]), lock)))
    unused = [release for release, piece in pieces if piece.used < before and release.commit not in kept]
    going = _in_remote(workspace, unused, notes)
    for release, piece in pieces:
        if release.version not in going:
            staying.update(piece.paths)
    return [
        replace(piece, paths=tuple(path for path in piece.paths if path not in staying))
        for release, piece in pieces
        if release.version in going
    ]


def _in_remote(workspace: Workspace, releases: Sequence[Release], notes: list[str]) -> set[str]:
    """The versions that the DVC remote has, asked once for all whose commits name the same remote."""
    repository = workspace.repository
    groups = defaultdict(list)
    for release in releases:
        groups[repository.read(release.commit, ".dvc/config")].append(release)
    found = set()
    for group in groups.values():
        asked = {release.version: pointer.md5 for release in group if (pointer := repository.pointer(release.commit, RELEASE))}
        try:
            lacking = not_in_remote(repository, group[-1].commit, asked)
        except (UserError, OSError) as error:  # OSError: the disk is full, and asking takes a little room
            notes.append(f"The DVC remote cannot be asked, so {', '.join(asked)} stay in the cache: {error}")
            continue
        notes += [f"{version} is not in the DVC remote: its files stay in the cache." for version in lacking]
        found |= asked.keys() - lacking.keys()
    return found


def _last_use(*paths: Path) -> float:
    """The newest mtime, in seconds since the epoch; 0 where none of the paths is there."""
    return max((path.lstat().st_mtime for path in paths if path.exists()), default=0.0)


def _remove(piece: Piece) -> bool:
    """Whether it went: what is in use by now stays."""
    try:
        with free_lock(piece.lock):
            if _last_use(piece.lock) > piece.used:
                return False
            for path in piece.paths:
                _delete(path)
    except BlockingIOError:
        return False
    return True


def _delete(path: Path) -> None:
    """A file; or a folder, which nobody finds half removed."""
    if path.is_dir():
        aside = path if path.name.startswith(PARTIAL) else path.with_name(f"{PARTIAL}{path.name}-pruned")
        os.rename(path, aside)
        shutil.rmtree(aside)
    else:
        path.unlink(missing_ok=True)


Sizes = list[tuple[tuple[int, int], int, int]]


def _sizes(piece: Piece) -> Sizes:
    """(inode, bytes on the disk, number of links) of each of its files."""
    files = [file for path in piece.paths for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file()]
    return [((stat.st_dev, stat.st_ino), stat.st_blocks * BLOCK, stat.st_nlink) for stat in (file.lstat() for file in files)]


def _freed(removed: Sequence[Sizes]) -> int:
    """Bytes of the files all of whose links went."""
    links = Counter(inode for sizes in removed for inode, _, _ in sizes)
    found = {inode: (size, number) for sizes in removed for inode, size, number in sizes}
    return sum(size for inode, (size, number) in found.items() if links[inode] >= number)
