"""The user's git repository, read at a commit through a mirror."""

import os
import re
import shutil
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from face_assets.core import identifiers
from face_assets.core.credentials import without_credentials
from face_assets.core.errors import UnreachableError, UserError
from face_assets.core.files import file_lock
from face_assets.core.fingerprint import fingerprint
from face_assets.core.identifiers import COMMIT_ID, CommitId
from face_assets.core.outside_text import shown
from face_assets.registry.erased import renamed_commit
from face_assets.registry.git import OURS, GitError, config_options, git

LISTED_REFS = ("refs/heads/*", "refs/tags/face-recognizer[@#]*")
MOST_BYTES = 20_000_000  # of a file in git; weights may be larger
MOST_IN_ALL = 200_000_000
MOST_KEPT, LARGEST_KEPT = 1_000, 65_536
"""Files that stay in memory and bytes of the largest: a commit's never change, and the steps of a run read the same few a hundred times."""
SECONDS_TO_LIST = 20.0
SECONDS_TO_TRANSFER = 900.0
SHA1_LENGTH = 40
OTHER_FORMAT = re.compile(r"^\s*(objectformat|refstorage)\s*=", re.IGNORECASE | re.MULTILINE)
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
MACHINES = "refs/face-assets/machines"
"""Prefix of the refs with the state of each machine on the repository."""
HOUSEKEEPING = {"gc.autoDetach": "false", "maintenance.autoDetach": "false"}
NEVER_CHANGES = re.compile(r"[0-9a-f]{40}(:|$)")
"""Names of objects whose content is always the same."""

_kept: dict[tuple[Path, str, str], bytes | None] = {}
"""Contents by mirror, commit and path, or by mirror, kind and name of `read_many`."""
_keeping = threading.Lock()


@dataclass(frozen=True)
class CommitInfo:
    sha: str
    author: str
    time: str
    subject: str
    branches: tuple[str, ...]


class GitMirror:
    """A bare mirror of the source in the state directory `home`."""

    def __init__(self, source: str, home: Path):
        self.source, self.local = identifiers.source(source)
        self.shown = shown(without_credentials(self.source))
        self.home = home
        self.mirror = home / "mirrors" / f"{fingerprint(self.source)}.git"
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
            listed = git("ls-remote", "--end-of-options", self.source, *LISTED_REFS, seconds=SECONDS_TO_LIST)
        except GitError as error:
            raise UnreachableError(f"The data repository {self.shown} cannot be read: {error}") from error
        names = [line.split("\t") for line in listed.decode(errors="replace").split("\n") if line.count("\t") == 1]
        if names and len(names[0][0]) != SHA1_LENGTH:
            raise self._other_format()
        branches = {name.removeprefix("refs/heads/"): sha for sha, name in names if name.startswith("refs/heads/")}
        tags = {name.removeprefix("refs/tags/"): sha for sha, name in names if name.startswith("refs/tags/") and not name.endswith("^{}")}
        return branches, tags

    def ref_folders(self) -> list[Path]:
        """The folders and files of a source on this machine whose modification shows a changed ref; none for another source.

        Git writes a ref by renaming a file into its folder. Empty, too, where the source cannot be read.
        """
        if self.local is None:
            return []
        try:
            found = git("rev-parse", "--git-common-dir", cwd=self.local)
        except (GitError, OSError):
            return []
        return _ref_folders(self.local / os.fsdecode(found).rstrip("\n"))

    def mirrored_ref_folders(self) -> list[Path]:
        """The same of the mirror, which changes with each refresh that found something."""
        return _ref_folders(self.mirror)

    def mirrored_heads(self) -> dict[str, str]:
        """The branches of the mirror, as of the last refresh: name → commit."""
        listed = self.git("for-each-ref", "--format=%(refname:lstrip=2)%00%(objectname)", "refs/heads").decode(errors="replace")
        return dict(line.split("\0") for line in listed.split("\n") if line)

    def _fetch(self, specs: list[str], prune: bool = True, seconds: float = SECONDS_TO_TRANSFER) -> None:
        """Fetches into the mirror, under its lock; `prune` removes refs that `specs` do not name."""
        options = ("-q", "--no-tags", "--update-shallow", *(("--prune", "--force") if prune else ()), "--end-of-options")
        git(*config_options(OURS | HOUSEKEEPING), "fetch", *options, self.source, *specs, cwd=self.mirror, seconds=seconds)

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
        """The commit of a revision, also by an id that it had before an erasure rewrote the history. Raises UserError."""
        if COMMIT_ID.fullmatch(revision):
            revision = renamed_commit(self.home, revision)
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
        key = (self.mirror, commit, path)
        with suppress(KeyError):
            return _kept[key]
        content = self._read(commit, path, most)
        if COMMIT_ID.fullmatch(commit) and len(content or b"") <= LARGEST_KEPT:
            _keep(key, content)
        return content

    def _read(self, commit: str, path: str, most: int) -> bytes | None:
        entry = self.git("ls-tree", "-z", "-l", "--end-of-options", commit, path).decode(errors="replace")  # `--` would be taken for a path
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
        keys = [(self.mirror, kind, name) for name in names]
        with _keeping:
            known = {key: _kept[key] for key in keys if key in _kept}
        left = [name for name, key in zip(names, keys, strict=True) if key not in known]
        if left:
            read = dict(zip(left, self._read_many(left, most, kind), strict=True))
            known |= {key: read[key[2]] for key in keys if key[2] in read}
            for name, content in read.items():
                if NEVER_CHANGES.match(name) and content is not None and len(content) <= LARGEST_KEPT:
                    _keep((self.mirror, kind, name), content)
        return [content if (content := known[key]) is None or len(content) <= most else None for key in keys]

    def _read_many(self, names: Sequence[str], most: int, kind: str) -> list[bytes | None]:
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
            outside = ("rev-list", "--max-count=1", "--end-of-options", commit, *(f"^{head}" for head in heads), "--")
            return bool(heads) and not self.git(*outside)
        except GitError:
            return False

    def is_on_a_branch(self, commit: str) -> bool:
        """True where a branch contained the commit at the last refresh."""
        try:
            return bool(self.git("for-each-ref", "--count=1", f"--contains={commit}", "refs/heads"))
        except GitError:
            return False


def _keep(key: tuple[Path, str, str], content: bytes | None) -> None:
    with _keeping:
        _kept[key] = content
        while len(_kept) > MOST_KEPT:
            _kept.pop(next(iter(_kept)))


def _ref_folders(git_folder: Path) -> list[Path]:
    return [git_folder / "packed-refs", *(Path(parent) for parent, _, _ in os.walk(git_folder / "refs"))]


def _time(text: str) -> str:
    """The time as git writes it; the epoch for one past the year 9999."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return "1970-01-01T00:00:00+00:00"
    return text
