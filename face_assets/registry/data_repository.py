"""The user's Git + DVC repository: what DVC tracks at a commit, and its bytes on this machine."""

import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath

from face_assets.core import identifiers
from face_assets.core.errors import UnreachableError, UserError
from face_assets.core.files import file_lock, is_locked, write_text
from face_assets.core.identifiers import COMMIT_ID
from face_assets.core.rows import Rows
from face_assets.core.yaml_io import MOST_BYTES, expanded, is_path
from face_assets.registry import dvc_config
from face_assets.registry.dvc import last_line, try_dvc
from face_assets.registry.git import NO_FILTERS, OURS, config_options, git
from face_assets.registry.git_mirror import GitMirror
from face_assets.registry.listing import TrackedFile, read_listing
from face_assets.registry.pointer import Pointer, parse_pointer
from face_assets.registry.pointer_parts import FOLDERS, in_columns, require_apart, together, whole
from face_assets.registry.signatures import Signing

MEMORY_OF_AN_INDEX = 2_000_000_000  # 12 million files; trees may name one another, and so list any number in a few kilobytes
LISTED_MD5 = re.compile(rb'"md5"\s*:\s*"([0-9a-f]{32})"')
LISTINGS_KEPT, LARGEST_KEPT = 3, 8_000_000  # listings in memory, and bytes of the largest
MOST_FOLDERS, DEEPEST = 100, 4
"""Limits of the search for DVC projects: folders at each depth, and depth."""


class DataRepository(GitMirror):
    """The repository with the platform's DVC cache. signing: signers whose release and stage tags count, and the platform's key."""

    def __init__(self, source: str, home: Path, signing: Signing = Signing()):
        super().__init__(source, home)
        self.signing = signing
        self.clones = home / "clones"
        self.cache = home / "dvc-cache"
        self._pointers: dict[tuple[str, str], dict[str, Pointer]] = {}

    def pointer(self, commit: str, name: str) -> Pointer | None:
        """The pointer of a tracked folder or file at the commit: NAME.dvc, or those below NAME/ together (`pointer_parts.whole`).

        None where there is none. Raises UserError for one that cannot be read.
        """
        parts = self.pointers(commit, name)
        return whole(name, parts) if parts else None

    def pointers(self, commit: str, name: str) -> dict[str, Pointer]:
        """The pointers of a tracked folder: {NAME: of NAME.dvc}, or {NAME/PART: of NAME/PART.dvc}, in order; none where there is none.

        Raises UserError for one that cannot be read, and where two track the same files.
        """
        if (commit, name) in self._pointers:
            return dict(self._pointers[commit, name])
        own = self.read(commit, f"{name}.dvc")
        found = {} if own is None else {name: own}
        if name in FOLDERS:
            found |= self._pointers_below(commit, name)
        at = f"commit {commit[:12]}"
        parts = {part: parse_pointer(content, part, f"{part}.dvc at {at}") for part, content in found.items()}
        if len(parts) > 1 or name not in parts:
            require_apart(parts, at)
        if len(parts) > 1 and COMMIT_ID.fullmatch(commit):  # one step looks several times, and a thousand take some hundredths of a second
            self._pointers = {(commit, name): parts}
        return dict(parts)

    def _pointers_below(self, commit: str, name: str) -> dict[str, bytes]:
        listed = self.git("ls-tree", "-r", "-z", "--end-of-options", commit, f"{name}/").decode(errors="replace")
        rows = [row.split("\t", 1) for row in listed.split("\0") if row.endswith(".dvc")]
        contents = self.read_many([facts.split()[2] for facts, _ in rows], MOST_BYTES) if rows else []
        found = {}
        for (facts, path), content in zip(rows, contents, strict=True):
            part = identifiers.tracked_path(path.removesuffix(".dvc"))
            if content is None or not facts.startswith("100"):
                raise UserError(
                    f"{path} at commit {commit[:12]} is no pointer of DVC but a link or a large file: `dvc add {part}`, and commit."
                )
            found[str(part)] = content
        return found

    def files(self, commit: str, name: str) -> list[TrackedFile]:
        """The files of a tracked folder in path order, or the one tracked file. Raises UserError."""
        return together(name, self.listings(commit, name), f"commit {commit[:12]}")

    def files_in_columns(self, commit: str, name: str) -> Rows[TrackedFile]:
        """The same, of which no more than one pointer's files are Python objects at a time."""
        parts = self._required(commit, name)
        located = self._listings(commit, name, parts)
        found = in_columns(_listed(part, pointer, located, commit) for part, pointer in parts.items())
        return Rows.of(TrackedFile, TrackedFile._fields, self.files(commit, name)) if found is None else found

    def listings(self, commit: str, name: str) -> dict[str, list[TrackedFile]]:
        """The files of each pointer of a tracked folder, in path order. Raises UserError."""
        parts = self._required(commit, name)
        located = self._listings(commit, name, parts)
        return {part: _listed(part, pointer, located, commit) for part, pointer in parts.items()}

    def locate(self, commit: str, name: str, md5s: Iterable[str]) -> dict[str, Path]:
        """Read-only paths of `md5s` on this machine, fetched from the DVC remote where they are in no cache.

        Of several pointers, those alone are fetched whose listings have what is missing.
        """
        wanted = list(dict.fromkeys(md5s))
        found = self.cached(wanted)
        missing = {md5 for md5 in wanted if md5 not in found}
        if missing:
            parts = self._required(commit, name)
            found |= self._fetch_missing(commit, name, self._parts_with(commit, name, parts, missing), missing, len(wanted))
        return found

    def _parts_with(self, commit: str, name: str, parts: Mapping[str, Pointer], md5s: set[str]) -> dict[str, Pointer]:
        """The pointers that list `md5s`, those fetched last first; all where some are listed by none."""
        if len(parts) == 1:
            return dict(parts)
        located, left, found = self._listings(commit, name, parts), set(md5s), {}
        for part in sorted(parts, key=lambda part: -located[parts[part].md5].stat().st_mtime):
            listed = {md5.decode() for md5 in LISTED_MD5.findall(located[parts[part].md5].read_bytes())}
            if left & listed:
                found[part] = parts[part]
                left -= listed
            if not left:
                return found
        return dict(parts)

    def _listings(self, commit: str, name: str, parts: Mapping[str, Pointer]) -> dict[str, Path]:
        """The listings of pointers by md5, fetched where they are in no cache."""
        wanted = {part: pointer for part, pointer in parts.items() if pointer.md5.endswith(".dir")}
        found = self.cached(pointer.md5 for pointer in wanted.values())
        absent = {part: pointer for part, pointer in wanted.items() if pointer.md5 not in found}
        if not absent:
            return found
        return found | self._fetch_missing(commit, name, absent, {pointer.md5 for pointer in absent.values()}, len(wanted))

    def is_cached(self, md5: str) -> bool:
        """True where the bytes, and of a folder those of all its files, are in a cache of this machine."""
        found = self.cached([md5])
        if not found or not md5.endswith(".dir"):
            return bool(found)
        try:
            files = {file.md5 for file in read_listing(found[md5], md5)}
        except UserError:
            return False
        return len(self.cached(files)) == len(files)

    def cached_files(self, commit: str, name: str) -> list[Path]:
        """The files of a tracked folder in the platform's own cache, its listing last; none without the listing. Fetches nothing.

        None either where that cache is the user's, too. Raises UserError for a listing that is broken.
        """
        if not self.has_own_cache:
            return []
        listings = [self.cached_path(self.cache, pointer.md5) for pointer in self._required(commit, name).values()]
        if not all(listing.is_file() for listing in listings):
            return []
        files = {self.cached_path(self.cache, file.md5) for file in self.files(commit, name)}
        return [*sorted(path for path in files if path.is_file()), *listings]

    @property
    def has_own_cache(self) -> bool:
        """True unless the platform's cache is the user's, too."""
        return not self.cache.is_symlink() and self.cache.resolve() not in [cache.resolve() for cache in self._caches[1:]]

    def is_listed(self, commit: str, name: str) -> bool:
        """True where the listings of all pointers of a tracked folder are in a cache."""
        md5s = {pointer.md5 for pointer in self._required(commit, name).values()}
        return self.cached(md5s).keys() == md5s

    def _required(self, commit: str, name: str) -> dict[str, Pointer]:
        parts = self.pointers(commit, name)
        if not parts:
            where = self._elsewhere(commit)
            raise UserError(
                f"{name}.dvc is missing at commit {commit[:12]}: {where or f'track it with `dvc add {name}` and commit {name}.dvc.'}"
            )
        return parts

    def _elsewhere(self, commit: str) -> str:
        """A message about a DVC project of the commit that is not at its root; empty where there is none."""
        level: list[str] = []
        for _ in range(DEEPEST):
            listed = self.git("ls-tree", "-z", "-d", "--name-only", "--end-of-options", commit, *level).decode(errors="replace")
            folders = listed.split("\0")[:-1]
            found = sorted(folder.removesuffix("/.dvc") for folder in folders if folder.endswith("/.dvc"))
            if found:
                where = identifiers.quoted(found[0])
                return f"its DVC project lies in {where} (`dvc init --subdir`), and the platform reads one at the root: move it there."
            level = [f"{folder}/" for folder in folders[:MOST_FOLDERS]]
            if not level:
                break
        return ""

    def _fetch_missing(self, commit: str, name: str, parts: Mapping[str, Pointer], md5s: set[str], of: int) -> dict[str, Path]:
        """Read-only paths of `md5s`, fetched by pointers that have them. of: number of files that are wanted, for the message."""
        if reason := next((pointer.not_pushed for pointer in parts.values() if pointer.not_pushed), None):
            raise UserError(reason)
        reason = self._dvc_fetch(commit, parts)
        found = self.cached(md5s)
        if missing := sorted(md5s - found.keys()):
            named = f"{next(iter(parts))}.dvc" if len(parts) == 1 else f"{len(parts):,} pointers of {name}/"
            raise UnreachableError(
                f"{len(missing)} of {of} files of {named} at commit {commit[:12]} are neither in a cache nor in the DVC "
                f"remote (such as {missing[0]}): `dvc push` from the machine that has them. DVC's message: {reason}"
            )
        return found

    def cached(self, md5s: Iterable[str]) -> dict[str, Path]:
        """Read-only paths of those of `md5s` that a cache of this machine has."""
        found = {}
        for md5 in md5s:
            for cache in self._caches:
                path = self.cached_path(cache, md5)
                if path.is_file():
                    found[md5] = path
                    break
        return found

    @staticmethod
    def cached_path(cache: Path, md5: str) -> Path:
        """The place of a file in a DVC cache."""
        return cache / "files" / "md5" / md5[:2] / md5[2:]

    @cached_property
    def _caches(self) -> list[Path]:
        if self.local is None:
            return [self.cache]
        theirs = self.local / ".dvc" / "cache"
        committed = self.read("refs/source/HEAD", ".dvc/config") if self._commit_of("refs/source/HEAD") else None
        local = self.local / ".dvc" / "config.local"
        for config in (dvc_config.parse_config(committed or b"", f".dvc/config of {self.shown}"), dvc_config.read_config(local)):
            directory = config.get("cache", {}).get("dir")
            if directory and is_path(directory):
                theirs = (self.local / ".dvc" / expanded(directory)).resolve()
        return [self.cache, theirs]

    def user_caches(self) -> list[Path]:
        """The DVC caches of the clone on this machine, none for another source."""
        return self._caches[1:]

    def _dvc_fetch(self, commit: str, parts: Mapping[str, Pointer]) -> str:
        """Fetches into our cache; returns DVC's last message, since it fails when a single file is missing."""
        with self.checkout(commit) as clone:
            for part, pointer in parts.items():
                (clone / part).parent.mkdir(parents=True, exist_ok=True)
                write_text(clone / f"{part}.dvc", pointer.plain(part))
            return last_line(try_dvc(clone, ["fetch", *(f"{part}.dvc" for part in parts)]))

    @contextmanager
    def checkout(self, commit: str) -> Iterator[Path]:
        """Makes a temporary clone, detached at the commit, with the platform's DVC cache and the source's remotes.

        Its working tree holds the platform's configuration for DVC and no file of the commit, so that no filter, hook, link or setting
        of it acts on this machine. Raises UserError.
        """
        config = self.dvc_settings(commit)
        with self._clone_folder() as folder:
            clone = folder / "data"
            git("clone", "-q", "--template=", *config_options(OURS), "--shared", "--no-checkout", "--end-of-options", self.mirror, clone)
            if (self.mirror / "shallow").is_file():  # git then copies what the branches reach instead of sharing objects
                git("fetch", "-q", "--no-tags", "--update-shallow", "--end-of-options", self.mirror, commit, cwd=clone)
            git("update-ref", "--no-deref", "--end-of-options", "HEAD", commit, cwd=clone)
            git("read-tree", "HEAD", cwd=clone, memory=MEMORY_OF_AN_INDEX)
            write_text(clone / ".git" / "info" / "attributes", NO_FILTERS)
            dvc_config.configure(clone, config, self.cache, self.has_own_cache)
            yield clone

    def dvc_settings(self, commit: str) -> dvc_config.Config:
        """DVC's configuration of a commit's remotes. Raises UserError without DVC, and for settings that a commit may not make."""
        committed, where = self.read(commit, ".dvc/config"), f".dvc/config at commit {commit[:12]}"
        if committed is None:
            elsewhere = self._elsewhere(commit)
            raise UserError(
                f"Commit {commit[:12]} of {self.shown} has no DVC (.dvc/config): "
                f"{elsewhere or 'run `dvc init` there, or `face-assets init` a new one.'}"
            )
        return dvc_config.merged(dvc_config.parse_config(committed, where), self.local, where)

    @contextmanager
    def _clone_folder(self) -> Iterator[Path]:
        """Makes a folder below `clones`, locked while it is in use, and removes those of killed processes."""
        with ExitStack() as lock:
            with file_lock(self.clones.with_suffix(".lock")):  # else a folder would exist for a moment without its lock
                self.clones.mkdir(exist_ok=True)
                left = [folder for folder in self.clones.iterdir() if not is_locked(folder / "lock")]
                folder = Path(tempfile.mkdtemp(dir=self.clones))
                lock.enter_context(file_lock(folder / "lock"))
            try:
                for other in left:
                    shutil.rmtree(other, ignore_errors=True)
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)


def _listed(part: str, pointer: Pointer, located: Mapping[str, Path], commit: str) -> list[TrackedFile]:
    if pointer.md5.endswith(".dir"):
        return _read_listing(located[pointer.md5], f"{part}.dvc at commit {commit[:12]}")
    return [TrackedFile(PurePosixPath(pointer.path).name, pointer.md5)]


_listings: dict[tuple[Path, int, int], list[TrackedFile]] = {}


def _read_listing(file: Path, where: str) -> list[TrackedFile]:
    """`read_listing`, of which the last few stay in memory: the steps of a run read the same one several times."""
    state = file.stat()
    key = (file, state.st_size, state.st_mtime_ns)
    found = _listings.pop(key, None) or read_listing(file, where)
    if state.st_size > LARGEST_KEPT:
        return found
    _listings[key] = found
    while len(_listings) > LISTINGS_KEPT:
        _listings.pop(next(iter(_listings)), None)
    return [*found]
