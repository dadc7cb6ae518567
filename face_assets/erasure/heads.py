"""Commits that take a person out of every branch's head: out of the tracked folders, and out of the texts that git has."""

from collections.abc import Mapping

from face_assets.core.errors import UserError
from face_assets.core.identifiers import CommitId
from face_assets.erasure.person import is_of
from face_assets.erasure.traces import Traces
from face_assets.monitoring.feedback import INBOX
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.folder_commit import FolderChange, commit_folder
from face_assets.registry.person import Person

MOST_OF_A_TEXT = 5_000_000
BY_LINES = (".csv", ".tsv", ".txt")


def commit_without(
    repository: DataRepository, branch: str, folders: tuple[str, ...], traces: Traces, pseudonym: str, author: Person
) -> list[CommitId]:
    """The commits on a branch after which its head has nothing of the person; none where it has nothing. Raises UserError.

    folders: that list the person; texts that git tracks are changed with the first of them.
    """
    made = []
    for name in folders or ("photos",):

        def change(commit: CommitId, name: str = name) -> FolderChange | None:
            if repository.pointer(commit, name) is None:
                return None
            try:
                before = repository.files(commit, name)
            except UserError:  # of a branch whose photos nobody pushed: none of the person's was found there
                if folders:
                    raise
                return None
            after = [file for file in before if not is_of(traces, file)]
            texts = texts_without(repository, commit, traces, pseudonym)
            if len(after) == len(before) and not texts:
                return None
            if not after:
                raise UserError(
                    f"Nobody else is in {name}.dvc of the branch {branch}: a folder of nobody cannot be committed. Add people, or delete "
                    "that branch, and run again."
                )
            message = f"Erase a person on request\n\nThe person is {pseudonym} in the certificate of the erasure.\n"
            return FolderChange(after, {}, message, author, texts=texts)

        commit = commit_folder(repository, branch, name, change)
        made += [commit] if commit else []
    return made


def texts_without(repository: DataRepository, commit: str, traces: Traces, pseudonym: str) -> Mapping[str, bytes | None]:
    """Path → new bytes of the files in git that name the person; None for one that goes: feedback about the person.

    Lines of tables go, other texts get the pseudonym.
    """
    listed = repository.git("ls-tree", "-r", "-z", "--full-tree", "--end-of-options", commit).decode(errors="replace").split("\0")
    paths = [line.partition("\t")[2] for line in listed if line.startswith("100")]
    paths = [path for path in paths if "\n" not in path and not path.endswith(".dvc")]
    found: dict[str, bytes | None] = {}
    for path, content in zip(paths, repository.read_many([f"{commit}:{path}" for path in paths], MOST_OF_A_TEXT), strict=True):
        if traces.count(path.encode()):
            found[path] = None
        elif content and traces.count(content) and b"\0" not in content:
            if path.startswith(f"{INBOX}/"):
                found[path] = None
            elif path.endswith(BY_LINES):
                found[path] = b"".join(line for line in content.splitlines(keepends=True) if not traces.count(line))
            else:
                found[path] = traces.redacted(content, pseudonym)
    return found
