"""The refs of the data repository replaced by those of a rewritten history, and the former history removed from this machine."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from face_assets.core.errors import UserError
from face_assets.core.files import file_lock
from face_assets.core.rights import outside
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.git import GitError, git
from face_assets.registry.git_mirror import MACHINES

OURS = ("HEAD", "refs/heads/", "refs/tags/", "refs/remotes/", f"{MACHINES}/")
"""Refs that are rewritten, that a fetch makes again, or that reach no history."""
DRAFTS = ("COMMIT_EDITMSG", "TAG_EDITMSG", "NOTES_EDITMSG")
"""Files in which git leaves the last message that somebody wrote."""
SECONDS_TO_PUSH = 900.0
SECONDS_TO_PACK = 3600.0
SHOWN = 3


class Change(Protocol):
    """A ref's object, and the name and object that it gets."""

    @property
    def before(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def after(self) -> str: ...


def other_refs(repository: DataRepository) -> list[str]:
    """The refs of the source beside branches and tags, such as those of pull requests: they keep the former history. Raises UserError."""
    listed = git("ls-remote", "--end-of-options", repository.source).decode(errors="replace").split("\n")
    names = [line.partition("\t")[2] for line in listed if line]
    return [name for name in names if not name.startswith(OURS)]


def require_replaceable(repository: DataRepository) -> None:
    """Raises UserError where something in the clone on this machine keeps the former history: a stash, or a commit checked out as such."""
    if repository.local is None:
        return
    if others := other_refs(repository):
        more = f" and {len(others) - SHOWN:,} more" if len(others) > SHOWN else ""
        raise UserError(
            f"The clone {repository.shown} has {', '.join(others[:SHOWN])}{more}, which keeps the former history: apply or drop it (`git "
            "stash drop`, `git update-ref -d REF`), and run again."
        )
    for entry in git("worktree", "list", "--porcelain", "-z", cwd=repository.local).decode(errors="surrogateescape").split("\0\0"):
        lines = entry.split("\0")
        if "detached" in lines:
            folder = lines[0].partition(" ")[2]
            raise UserError(f"{folder} has a commit checked out and no branch: `git switch BRANCH` there, and run again.")


@outside()
def replace_refs(repository: DataRepository, refs: Mapping[str, Change]) -> bool:
    """Replaces refs of the source, all or none; False where one of them moved meanwhile. Raises UserError where the source rejects it."""
    leases, specs, options = [], [], []
    for ref, change in refs.items():
        leases.append(f"--force-with-lease={ref}:{change.before}")
        if change.name != ref:
            leases.append(f"--force-with-lease={change.name}:")
            specs.append(f":{ref}")
        specs.append(f"{change.after}:{change.name}")
    if repository.local:
        current = "updateInstead" if _changes_files(repository, refs) else "ignore"
        settings = (f"denyCurrentBranch={current}", "denyNonFastForwards=false", "denyDeletes=false")
        options = [f"--receive-pack=git {' '.join(f'-c receive.{one}' for one in settings)} receive-pack"]
    arguments = ("-q", "--no-verify", "--atomic", *options, *leases, "--end-of-options", repository.source, *specs)
    try:
        git("push", *arguments, cwd=repository.mirror, seconds=SECONDS_TO_PUSH)
    except GitError as error:
        now = _refs(repository)
        if all(now.get(change.name) == change.after for change in refs.values()):
            return True  # the connection broke after the push
        if any(now.get(ref) != change.before for ref, change in refs.items()):
            return False
        raise UserError(
            f"{repository.shown} does not take the rewritten history: {error}. Let this machine force-push there (protected branches and "
            "tags forbid it), and run again."
        ) from error
    return True


def _changes_files(repository: DataRepository, refs: Mapping[str, Change]) -> bool:
    """True where the files of a branch's head change, and not its history alone."""
    heads = [change for ref, change in refs.items() if ref.startswith("refs/heads/")]
    return any(repository.git("diff-tree", "--name-only", "-r", change.before, change.after) for change in heads)


def _refs(repository: DataRepository) -> dict[str, str]:
    listed = git("ls-remote", "--end-of-options", repository.source).decode(errors="surrogateescape").split("\n")
    return {name: found for found, _, name in (line.partition("\t") for line in listed)}


def forget_former_history(repository: DataRepository) -> None:
    """Removes what no ref reaches from the mirror, and from the clone on this machine with its reflogs, remote-tracking refs and drafts.

    Raises UserError.
    """
    repository.refresh()
    with file_lock(repository.mirror.with_suffix(".lock")):
        _prune(repository.mirror)
    if repository.local:
        with outside():
            tracked = git("for-each-ref", "--format=delete %(refname)", "refs/remotes", cwd=repository.local)
            git("update-ref", "--no-deref", "--stdin", cwd=repository.local, content=tracked)
            for name in DRAFTS:
                draft = os.fsdecode(git("rev-parse", "--git-path", name, cwd=repository.local)).rstrip("\n")
                (repository.local / draft).unlink(missing_ok=True)
            _prune(repository.local)


def _prune(folder: Path) -> None:
    git("reflog", "expire", "--expire=now", "--expire-unreachable=now", "--all", cwd=folder)
    git("-c", "gc.auto=0", "gc", "-q", "--prune=now", cwd=folder, seconds=SECONDS_TO_PACK)
