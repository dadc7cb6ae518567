"""Commits that change folders of DVC on a branch of the data repository, made without a clone of a user's.

Each is whole or not there: the new files go to the DVC remote first, then the commit to git, which takes it only where the branch has not
moved. A branch that moved is fetched, and the change made anew on its new head.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from face_assets.core import subprocesses
from face_assets.core.credentials import without_credentials
from face_assets.core.errors import UnreachableError, UserError
from face_assets.core.files import file_lock, write_bytes
from face_assets.core.identifiers import CommitId
from face_assets.core.rights import outside
from face_assets.registry.acknowledgements import with_trailers
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.dvc import DVC_ENVIRONMENT
from face_assets.registry.git import GitError, environment, git
from face_assets.registry.listing import TrackedFile, listing_of
from face_assets.registry.person import Person
from face_assets.registry.pointer import Pointer, pointer_to
from face_assets.registry.pointer_parts import divided
from face_assets.registry.release_commits import AUTHOR, EMAIL
from face_assets.registry.working_tree import WorkingTree

TRIES = 8
SECONDS_TO_WAIT = 120.0  # for another writer on this machine
LOCK = ".folder-commit.lock"
SECONDS_TO_PUSH = 120.0
SECONDS_TO_UPLOAD = 900.0
READ_ONLY = 0o444  # as DVC keeps what is in its cache
UPDATE_THE_CLONE = "--receive-pack=git -c receive.denyCurrentBranch=updateInstead receive-pack"
"""Git then moves a branch that is checked out together with its files, where none of them differs from the last commit (git-config)."""
UPLOAD = """
import json, sys
from dvc.repo import Repo
from dvc_data.hashfile.hash_info import HashInfo
root, remote, *batches = json.loads(sys.argv[1])
with Repo(root) as repo:
    for batch in batches:  # a folder's listing after its files, for who sees it takes them to be there
        failed = repo.cloud.push([HashInfo("md5", md5) for md5 in batch], remote=remote).failed if batch else ()
        if failed:
            sys.exit(f"{len(failed)} of {len(batch)} files could not be written")
"""


@dataclass(frozen=True)
class FolderChange:
    """A change of a tracked folder.

    files: its new listing; contents: md5 → bytes of its new files; message, author: of the commit; acknowledged: people for the message's
    trailers; remote: name of a new folder's DVC remote, None for the default one; texts: path → bytes of other files in git, None for one
    that goes.
    """

    files: Sequence[TrackedFile]
    contents: Mapping[str, bytes]
    message: str
    author: Person
    acknowledged: Sequence[str] = ()
    remote: str | None = None
    texts: Mapping[str, bytes | None] = field(default_factory=dict)


@dataclass(frozen=True)
class DataChange:
    """A change of several tracked folders and of files under git, in one commit.

    folders: name → new listing; texts: path → content of a file under git; the rest as
    of a FolderChange.
    """

    folders: Mapping[str, Sequence[TrackedFile]]
    texts: Mapping[str, bytes | None]
    message: str
    author: Person
    acknowledged: Sequence[str] = ()
    contents: Mapping[str, bytes] = field(default_factory=dict)
    remote: str | None = None


Change = Callable[[CommitId], FolderChange | None]
"""Makes the change on a commit; None where nothing is to be changed. It is called again where the branch moved meanwhile."""


def commit_folder(repository: DataRepository, branch: str, name: str, change: Change) -> CommitId | None:
    """The commit that changes the folder `name` on a branch of the source, as `commit_data` makes it."""

    def of_folder(head: CommitId) -> DataChange | None:
        wanted = change(head)
        if wanted is None:
            return None
        return DataChange(
            {name: wanted.files}, wanted.texts, wanted.message, wanted.author, wanted.acknowledged, wanted.contents, wanted.remote
        )

    return commit_data(repository, branch, of_folder)


def commit_data(repository: DataRepository, branch: str, change: Callable[[CommitId], DataChange | None]) -> CommitId | None:
    """The commit of a change on a branch of the source; None where nothing was to be changed.

    A branch that is checked out in a clone on this machine moves there as by `git pull` and `dvc checkout`, and not at all where files of
    that clone differ from its last commit. Raises UserError, then with nothing changed; also what `change` raises.
    """
    with file_lock(repository.home / LOCK, seconds=SECONDS_TO_WAIT):
        WorkingTree.finish(repository)
        for _ in range(TRIES):
            repository.refresh()
            head = repository.mirrored_heads().get(branch)
            if head is None:
                raise UserError(f"{repository.shown} has no branch {branch}.")
            wanted = change(CommitId(head))
            if wanted is None:
                return None
            if commit := _try(repository, branch, CommitId(head), wanted):
                repository.refresh()
                return commit
    raise UnreachableError(f"Others kept committing to {branch} of {repository.shown}: nothing was changed. Try again.")


@dataclass(frozen=True)
class _Folder:
    """A tracked folder's new pointer, listing and place in a clone on this machine."""

    pointer: bytes
    md5: str
    listing: bytes
    remote: str | None
    tree: WorkingTree | None


def _folders(repository: DataRepository, branch: str, head: CommitId, change: DataChange) -> dict[str, _Folder]:
    """The changed folders, by the name of the pointer: of a folder with several, those that the change is about."""
    found = {}
    for name, files in change.folders.items():
        pointers = repository.pointers(head, name)
        if reason := next((pointer.not_pushed for pointer in pointers.values() if pointer.not_pushed), None):
            raise UserError(reason)
        before = repository.listings(head, name) if pointers else {}
        for part, after in divided(name, before, files).items():
            if len(before) <= 1 or after != before[part]:
                found[part] = _folder(repository, branch, head, part, pointers.get(part), before.get(part, []), after, change)
    return found


def _folder(
    repository: DataRepository,
    branch: str,
    head: CommitId,
    name: str,
    pointer: Pointer | None,
    before: Sequence[TrackedFile],
    files: Sequence[TrackedFile],
    change: DataChange,
) -> _Folder:
    where = f"{name}.dvc at commit {head[:12]}"
    committed = repository.read(head, f"{name}.dvc")
    listing = listing_of(files)
    md5 = f"{hashlib.md5(listing, usedforsecurity=False).hexdigest()}.dir"
    size = _size(repository, pointer.size if pointer else None, before, files, change.contents)
    remote = pointer.remote if pointer else change.remote
    text = pointer_to(committed, name, md5, size, len(files), where, remote)
    return _Folder(text, md5, listing, remote, WorkingTree.of(repository, branch, name, before, files))


def _try(repository: DataRepository, branch: str, head: CommitId, change: DataChange) -> CommitId | None:
    """The pushed commit; None where somebody committed first."""
    folders = _folders(repository, branch, head, change)
    contents = {**change.contents, **{folder.md5: folder.listing for folder in folders.values()}}
    trees = [(folder.tree, folder.md5) for folder in folders.values() if folder.tree]
    _keep(repository.cache, contents)
    for tree, _ in trees:
        tree.require_room()
    with repository.checkout(head) as clone:
        for folder in folders.values():
            _upload(clone, folder.remote, [*change.contents], [folder.md5])
        commit = _commit(repository, clone, head, folders, change)
        for tree, _ in trees:
            tree.keep(contents)
        WorkingTree.begin(repository, trees)
        if not _push(repository, clone, branch, head, commit):
            return None
    WorkingTree.finish(repository)
    return commit


def _size(
    repository: DataRepository,
    before: int | None,
    files: Iterable[TrackedFile],
    after: Iterable[TrackedFile],
    contents: Mapping[str, bytes],
) -> int | None:
    """Bytes of the folder after the change; None where they are not known."""
    old, new = {file.path: file.md5 for file in files}, {file.path: file.md5 for file in after}
    gone = [md5 for path, md5 in old.items() if new.get(path) != md5]
    come = [md5 for path, md5 in new.items() if old.get(path) != md5]
    sizes = {md5: len(content) for md5, content in contents.items()}
    sizes |= {md5: path.stat().st_size for md5, path in repository.cached({*gone, *come} - sizes.keys()).items()}
    if before is None or not sizes.keys() >= {*gone, *come}:
        return None
    return before + sum(sizes[md5] for md5 in come) - sum(sizes[md5] for md5 in gone)


def keep_listings(repository: DataRepository, commit: str, listings: Mapping[str, bytes], remote: str | None) -> None:
    """Puts listings of folders, by md5, into the cache and a DVC remote of the commit's configuration. Raises UserError."""
    _keep(repository.cache, listings)
    with repository.checkout(commit) as clone:
        _upload(clone, remote, [*listings])


def _keep(cache: Path, contents: Mapping[str, bytes]) -> None:
    """Puts files into a DVC cache."""
    for md5, content in contents.items():
        path = DataRepository.cached_path(cache, md5)
        if not path.is_file():
            write_bytes(path, content, READ_ONLY)


@outside()
def _upload(clone: Path, remote: str | None, *batches: Sequence[str]) -> None:
    """Uploads files of the cache by md5. Raises UnreachableError."""
    command = subprocesses.python("-c", UPLOAD, json.dumps([str(clone), remote, *batches]))
    done = subprocesses.run(command, SECONDS_TO_UPLOAD, {**environment(), **DVC_ENVIRONMENT})
    if done.returncode:
        words = without_credentials((done.stderr.strip().splitlines() or ["no message"])[-1])
        raise UnreachableError(
            f"The photos could not be written to the DVC remote ({words}). Nothing was changed: mend that, and try again."
        )


def _commit(repository: DataRepository, clone: Path, head: CommitId, folders: Mapping[str, _Folder], change: DataChange) -> CommitId:
    """Makes the commit in our own clone, whose index is that of `head`."""
    files: dict[str, bytes | None] = {**change.texts, **{f"{name}.dvc": folder.pointer for name, folder in folders.items()}}
    for name in folders:
        path = str(PurePosixPath(name).with_name(".gitignore"))
        ignored, line = files.get(path) or repository.read(head, path) or b"", f"/{PurePosixPath(name).name}".encode()
        if line not in ignored.split(b"\n"):
            files[path] = (ignored if ignored.endswith(b"\n") or not ignored else ignored + b"\n") + line + b"\n"
    for path, content in files.items():
        if content is None:
            git("update-index", "--force-remove", "--end-of-options", path, cwd=clone)
            continue
        blob = git("hash-object", "-w", "--stdin", cwd=clone, content=content).decode().strip()
        git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", cwd=clone)
    tree = git("write-tree", cwd=clone).decode().strip()
    who = {"AUTHOR": change.author, "COMMITTER": Person(AUTHOR, EMAIL)}
    env = {f"GIT_{role}_{what}": value for role, one in who.items() for what, value in (("NAME", one.name), ("EMAIL", one.email))}
    message = with_trailers(change.message, change.acknowledged, clone)
    made = git("commit-tree", tree, "-p", head, cwd=clone, env=env, content=message.encode())
    return CommitId(made.decode().strip())


@outside()
def _push(repository: DataRepository, clone: Path, branch: str, head: CommitId, commit: CommitId) -> bool:
    """Pushes the commit; False where the branch moved meanwhile. Raises UserError where the source does not take it."""
    how = [UPDATE_THE_CLONE] if repository.local else []
    target = f"{commit}:refs/heads/{branch}"
    try:
        git("push", "-q", "--no-verify", *how, "--end-of-options", repository.source, target, cwd=clone, seconds=SECONDS_TO_PUSH)
    except GitError as error:
        repository.refresh()
        now = repository.mirrored_heads().get(branch)
        if now and repository.is_within(commit, [now]):
            return True  # the connection broke after the push
        if now != head:
            return False
        if "Working directory" in str(error) or "working tree" in str(error):
            raise UserError(
                f"The clone {repository.shown} has changes that are not committed, so its branch {branch} stays as it is: commit them, or "
                "`git stash` them, and try again."
            ) from error
        raise UserError(f"{branch} of {repository.shown} does not take the commit: {error}") from error
    return True
