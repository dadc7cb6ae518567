"""The user's Git + DVC repository, read at a commit through the platform's mirror."""

import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path, PurePosixPath

from face_assets.core import identifiers
from face_assets.core.credentials import without_credentials
from face_assets.core.errors import UnreachableError, UserError
from face_assets.core.files import file_lock, is_locked, write_text
from face_assets.core.fingerprint import fingerprint
from face_assets.core.identifiers import COMMIT_ID, CommitId
from face_assets.core.outside_text import shown
from face_assets.core.yaml_io import expanded, is_path
from face_assets.registry import dvc_config
from face_assets.registry.dvc import last_line, try_dvc
from face_assets.registry.git import NO_FILTERS, OURS, GitError, config_options, git
from face_assets.registry.listing import TrackedFile, read_listing
from face_assets.registry.pointer import Pointer, parse_pointer

LISTED_REFS = ("refs/heads/*", "refs/tags/face-recognizer[@#]*")
MOST_BYTES = 20_000_000  # of a file in git; weights may be larger
MOST_IN_ALL = 200_000_000
MEMORY_OF_AN_INDEX = 2_000_000_000  # 12 million files; trees may name one another, and so list any number in a few kilobytes
MOST_FOLDERS, DEEPEST = 100, 4
"""Limits of the search for DVC projects: folders at each depth, and depth."""
SECONDS_TO_LIST = 20.0
SECONDS_TO_TRANSFER = 900.0
SHA1_LENGTH = 40
OTHER_FORMAT = re.compile(r"^\s*(objectformat|refstorage)\s*=", re.IGNORECASE | re.MULTILINE)
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
MACHINES = "refs/face-assets/machines"
"""Prefix of the refs with the state of each machine on the repository."""
HOUSEKEEPING = {"gc.autoDetach": "false", "maintenance.autoDetach": "false"}


@dataclass(frozen=True)
class CommitInfo:
    sha: str
    author: str
    time: str
    subject: str
    branches: tuple[str, ...]


class DataRepository:
    def __init__(self, source: str, home: Path):
        self.source, self.local = identifiers.source(source)
        self.shown = shown(without_credentials(self.source))
        self.home = home
        self.mirror = home / "mirrors" / f"{fingerprint(self.source)}.git"
        self.clones = home / "clones"
        self.cache = home / "dvc-cache"
        self._fetched = False

    def refresh(self, seconds: float = SECONDS_TO_TRANSFER) -> None:
        """Fetches branches and tags of the source into the mirror. Raises UserError, also after `seconds`."""
        with file_lock(self.mirror.with_suffix(".lock")):
            if not (self.mirror / "HEAD").is_file() and self.local:
                self._require_git(self.local)
            self._make_mirror()
            self._drop_stale_locks()
            specs = [*(f"+{refs}/*:{refs}/*" for refs in ("refs/heads", "refs/tags", MACHINES)), "+HEAD:refs/source/HEAD"]
            try:
                self._fetch(specs, seconds=seconds)
            except GitError as error:
                if "mismatched algorithms" in str(error):
                    raise self._other_format() from error
                if "remote ref HEAD" not in str(error):
                    raise UnreachableError(f"The data repository {self.shown} cannot be read: {error}") from error
                self._fetch(specs[:-1], seconds=seconds)  # a bare repository whose HEAD names a branch that nobody pushed
        self._fetched = True

    def heads(self) -> tuple[dict[str, str], dict[str, str]]:
        """Branches and the platform's tags of the source, listed without fetching: name → object. Raises UserError."""
        try:
            listed = git(
                "ls-remote", "--end-of-options", self.source, "refs/heads/*", "refs/tags/face-recognizer[@#]*", seconds=SECONDS_TO_LIST
            )
        except GitError as error:
            raise UnreachableError(f"The data repository {self.shown} cannot be read: {error}") from error
        names = [line.split("\t") for line in listed.decode(errors="replace").split("\n") if line.count("\t") == 1]
        if names and len(names[0][0]) != SHA1_LENGTH:
            raise self._other_format()
        branches = {name.removeprefix("refs/heads/"): sha for sha, name in names if name.startswith("refs/heads/")}
        tags = {name.removeprefix("refs/tags/"): sha for sha, name in names if name.startswith("refs/tags/") and not name.endswith("^{}")}
        return branches, tags

    def mirrored_heads(self) -> dict[str, str]:
        """The branches of the mirror, as of the last refresh: name → commit."""
        listed = self.git("for-each-ref", "--format=%(refname:lstrip=2)%00%(objectname)", "refs/heads").decode(errors="replace")
        return dict(line.split("\0") for line in listed.split("\n") if line)

    def _fetch(self, specs: list[str], prune: bool = True, seconds: float = SECONDS_TO_TRANSFER) -> None:
        """Fetches into the mirror, under its lock; `prune` removes refs that `specs` do not name."""
        options = ("--no-tags", "--update-shallow", *(("--prune", "--force") if prune else ()))
        git(
            *config_options(OURS | HOUSEKEEPING),
            "fetch",
            "-q",
            *options,
            "--end-of-options",
            self.source,
            *specs,
            cwd=self.mirror,
            seconds=seconds,
        )

    def _drop_stale_locks(self) -> None:
        """Removes git's lock files of killed processes: under our own lock nobody else writes to the mirror."""
        for lock in (*self.mirror.glob("*.lock"), *(self.mirror / "refs").rglob("*.lock")):
            lock.unlink(missing_ok=True)

    def _make_mirror(self) -> None:
        """Makes the mirror, and replaces one in a format that DVC and GTO do not read, which git's settings may once have chosen."""
        config = self.mirror / "config"
        if config.is_file() and OTHER_FORMAT.search(config.read_text(encoding="utf-8", errors="replace")):
            shutil.rmtree(self.mirror)
        git("init", "-q", "--bare", "--template=", self.mirror)

    def _other_format(self) -> UserError:
        return UserError(
            f"{self.shown} names its objects by SHA-256, which DVC and GTO do not read: create it again with "
            "`git init --object-format=sha1`, or name another."
        )

    def _require_git(self, path: Path) -> None:
        """Raises UserError with git's reason where the folder is no repository."""
        try:
            git("rev-parse", "--git-dir", cwd=path)
        except (GitError, NotADirectoryError) as error:
            if isinstance(error, GitError) and "not a git repository" not in str(error):
                raise UserError(f"The data repository {self.shown} cannot be read: {error}") from error
            raise UserError(f"{self.shown} is not a git repository: make one with `face-assets init`, or name another.") from error

    def git(self, *arguments: str, content: bytes | None = None) -> bytes:
        if not self._fetched and not (self.mirror / "HEAD").is_file():
            self.refresh()
        return git(*arguments, cwd=self.mirror, content=content)

    def resolve(self, revision: str) -> CommitId:
        """The commit of a revision. Raises UserError."""
        name = re.sub(r"^HEAD(?=$|[~^])", "refs/source/HEAD", identifiers.revision(revision))
        commit = self._commit_of(name)
        if commit is None:
            self._fetch_commit(revision)
            commit = self._commit_of(name)
        if commit is None:
            raise UserError(f"{identifiers.quoted(revision)} names no commit of {self.shown}.")
        return commit

    def _commit_of(self, name: str) -> CommitId | None:
        try:
            return CommitId(self.git("rev-parse", "--verify", "-q", "--end-of-options", f"{name}^{{commit}}").decode().strip())
        except GitError:
            return None

    def _fetch_commit(self, revision: str) -> None:
        """Fetches a commit that no branch or tag reaches. Anything but a commit id is ignored."""
        self.refresh()
        if COMMIT_ID.fullmatch(revision):
            with file_lock(self.mirror.with_suffix(".lock")):
                try:
                    self._fetch([revision], prune=False)
                except GitError:
                    return

    def read(self, commit: str, path: str, most: int = MOST_BYTES) -> bytes | None:
        """A file's bytes at the commit, None where there is none. Raises UserError for a symbolic link, for a pointer of Git LFS, and for
        a file of more than `most` bytes."""
        path = identifiers.tracked_path(path)
        entry = self.git("ls-tree", "-z", "-l", "--end-of-options", commit, path).decode(
            errors="replace"
        )  # a `--` would be taken for a path
        if not entry:
            return None
        if entry.startswith("120000"):
            raise UserError(f"{path} at commit {commit[:12]} is a symbolic link: commit the file itself.")
        size = entry.split("\t")[0].split()[-1]
        if size.isdigit() and int(size) > most:
            raise UserError(f"{path} at commit {commit[:12]} has {int(size):,} bytes: keep what is so large in DVC (`dvc add {path}`).")
        content = self.git("cat-file", "blob", "--end-of-options", f"{commit}:{path}")
        if content.startswith(LFS_POINTER):
            raise UserError(f"{path} at commit {commit[:12]} is kept by Git LFS: take it out of .gitattributes and commit the file itself.")
        return content

    def read_many(self, names: Sequence[str], most: int, kind: str = "blob") -> list[bytes | None]:
        """The objects of names such as COMMIT:PATH, in two calls whatever their number.

        None for one that does not exist, is of another kind, has more than `most` bytes, or comes after MOST_IN_ALL bytes in all.
        """
        sizes = self.git("cat-file", "--batch-check", content="".join(f"{name}\n" for name in names).encode()).split(b"\n")[:-1]
        wanted: dict[bytes, bytes | None] = {}
        chosen, left = [], MOST_IN_ALL
        for line in sizes:
            found = re.fullmatch(rb"([0-9a-f]{40}) %s (\d+)" % kind.encode(), line)
            key = found[1] if found and int(found[2]) <= min(most, left) else b""
            left -= int(found[2]) if found and key and key not in wanted else 0
            wanted[key] = None
            chosen.append(key)
        wanted.pop(b"", None)
        output, at = self.git("cat-file", "--batch", content=b"".join(key + b"\n" for key in wanted)), 0
        for key in wanted:
            end = output.index(b"\n", at)
            size, at = int(output[at:end].split(b" ")[2]), end + 1
            wanted[key], at = output[at : at + size], at + size + 1
        return [wanted.get(key) for key in chosen]

    def commit_info(self, commit: str) -> CommitInfo:
        sha, author, when, subject = (
            self.git("show", "-s", "--format=%H%n%an <%ae>%n%cI%n%s", "--end-of-options", commit).decode(errors="replace").split("\n")[:4]
        )
        branches = self.git("for-each-ref", f"--contains={commit}", "--format=%(refname:lstrip=2)", "refs/heads").decode(errors="replace")
        return CommitInfo(sha, author, _time(when), subject, tuple(branches.split("\n")[:-1]))

    def descendants(self, commit: str, heads: Iterable[str]) -> set[str]:
        """The descendants of `commit` that one of `heads` contains."""
        return set(self.git("rev-list", "--ancestry-path", "--end-of-options", f"^{commit}", *heads, "--").decode().split())

    def is_within(self, commit: str, heads: Sequence[str]) -> bool:
        """True where one of `heads` is the commit or descends from it."""
        try:
            return bool(heads) and not self.git(
                "rev-list", "--max-count=1", "--end-of-options", commit, *(f"^{head}" for head in heads), "--"
            )
        except GitError:
            return False

    def is_on_a_branch(self, commit: str) -> bool:
        """True where a branch contained the commit at the last refresh."""
        try:
            return bool(self.git("for-each-ref", "--count=1", f"--contains={commit}", "refs/heads"))
        except GitError:
            return False

    def pointer(self, commit: str, name: str) -> Pointer | None:
        """The pointer NAME.dvc at the commit, None where there is none. Raises UserError for one that cannot be read."""
        content = self.read(commit, f"{name}.dvc")
        return None if content is None else parse_pointer(content, name, f"{name}.dvc at commit {commit[:12]}")

    def files(self, commit: str, name: str) -> list[TrackedFile]:
        """The files of a tracked folder in path order, or the one tracked file. Raises UserError."""
        pointer = self._required(commit, name)
        if not pointer.md5.endswith(".dir"):
            return [TrackedFile(PurePosixPath(pointer.path).name, pointer.md5)]
        listing = self._bytes_of(commit, name, [pointer.md5])[pointer.md5]
        return read_listing(listing, f"{name}.dvc at commit {commit[:12]}")

    def locate(self, commit: str, name: str, md5s: Iterable[str]) -> dict[str, Path]:
        """Read-only paths of `md5s` on this machine, fetched from the DVC remote where they are in no cache."""
        return self._bytes_of(commit, name, list(dict.fromkeys(md5s)))

    def is_cached(self, md5: str) -> bool:
        """True where the bytes, and of a folder those of all its files, are in a cache of this machine."""
        found = self._in_caches([md5])
        if not found or not md5.endswith(".dir"):
            return bool(found)
        try:
            files = {file.md5 for file in read_listing(found[md5], md5)}
        except UserError:
            return False
        return len(self._in_caches(files)) == len(files)

    def cached_files(self, commit: str, name: str) -> list[Path]:
        """The files of a tracked folder in the platform's own cache, its listing last; none without the listing. Fetches nothing.

        None either where that cache is the user's, too. Raises UserError for a listing that is broken.
        """
        if self.cache.is_symlink() or self.cache.resolve() in [cache.resolve() for cache in self._caches[1:]]:
            return []
        listing = self._cached(self.cache, self._required(commit, name).md5)
        if not listing.is_file():
            return []
        files = {self._cached(self.cache, file.md5) for file in self.files(commit, name)}
        return [*sorted(path for path in files if path.is_file()), listing]

    def is_listed(self, commit: str, name: str) -> bool:
        """True where a tracked folder's listing is in a cache."""
        return bool(self._in_caches([self._required(commit, name).md5]))

    def _required(self, commit: str, name: str) -> Pointer:
        pointer = self.pointer(commit, name)
        if pointer is None:
            where = self._elsewhere(commit)
            raise UserError(
                f"{name}.dvc is missing at commit {commit[:12]}: {where or f'track it with `dvc add {name}` and commit {name}.dvc.'}"
            )
        return pointer

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

    def _bytes_of(self, commit: str, name: str, md5s: list[str]) -> dict[str, Path]:
        found = self._in_caches(md5s)
        if len(found) < len(md5s):
            if reason := self._required(commit, name).not_pushed:
                raise UserError(reason)
            reason = self._dvc_fetch(commit, name)
            found |= self._in_caches([md5 for md5 in md5s if md5 not in found])
            missing = [md5 for md5 in md5s if md5 not in found]
            if missing:
                raise UnreachableError(
                    f"{len(missing)} of {len(md5s)} files of {name}.dvc at commit {commit[:12]} are neither in a cache nor in the DVC "
                    f"remote (such as {missing[0]}): `dvc push` from the machine that has them. DVC's message: {reason}"
                )
        return found

    def _in_caches(self, md5s: Iterable[str]) -> dict[str, Path]:
        found = {}
        for md5 in md5s:
            for cache in self._caches:
                path = self._cached(cache, md5)
                if path.is_file():
                    found[md5] = path
                    break
        return found

    @staticmethod
    def _cached(cache: Path, md5: str) -> Path:
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

    def _dvc_fetch(self, commit: str, name: str) -> str:
        """Fetches into our cache; returns DVC's last message, since it fails when a single file is missing."""
        with self.checkout(commit) as clone:
            write_text(clone / f"{name}.dvc", self._required(commit, name).plain(name))
            return last_line(try_dvc(clone, ["fetch", f"{name}.dvc"]))

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
            dvc_config.configure(clone, config, self.cache)
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


def _time(text: str) -> str:
    """The time as git writes it; the epoch for one past the year 9999."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return "1970-01-01T00:00:00+00:00"
    return text
