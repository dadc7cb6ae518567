"""Commits that take a person out of every branch's head: out of the tracked folders, and out of the texts that git has."""

from collections.abc import Mapping

from face_assets.core.errors import UserError
from face_assets.core.identifiers import CommitId
from face_assets.erasure.person import is_of
from face_assets.erasure.traces import Traces
from face_assets.monitoring.feedback import INBOX
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.folder_commit import DataChange, commit_data
from face_assets.registry.listing import TrackedFile
from face_assets.registry.person import Person
from face_assets.registry.pointer_parts import FOLDERS

MOST_OF_A_TEXT = 5_000_000
BY_LINES = (".csv", ".tsv", ".txt")


def commit_without(
    repository: DataRepository, branch: str, folders: tuple[str, ...], traces: Traces, pseudonym: str, author: Person
) -> list[CommitId]:
    """The commit on a branch after which its head has nothing of the person; none where it has nothing. Raises UserError.

    folders: names of the pointers that list the person.
    """

    def change(commit: CommitId) -> DataChange | None:
        changed: dict[str, list[TrackedFile]] = {}
        for name in folders or ("photos",):
            if repository.pointer(commit, name) is None:
                continue
            try:
                before = repository.files(commit, name)
            except UserError:  # of a branch whose photos nobody pushed: none of the person's was found there
                if folders:
                    raise
                continue
            after = [file for file in before if not is_of(traces, file)]
            changed |= {name: after} if len(after) < len(before) else {}
        if nobody := next((name for name in changed if not _is_somebody_left(repository, commit, name, changed)), None):
            raise UserError(
                f"Nobody else is in {nobody}.dvc of the branch {branch}: a folder of nobody cannot be committed. Add people, or delete "
                "that branch, and run again."
            )
        texts = texts_without(repository, commit, traces, pseudonym)
        if not changed and not texts:
            return None
        message = f"Erase a person on request\n\nThe person is {pseudonym} in the certificate of the erasure.\n"
        return DataChange(changed, texts, message, author)

    commit = commit_data(repository, branch, change)
    return [commit] if commit else []


def _is_somebody_left(repository: DataRepository, commit: CommitId, name: str, changed: Mapping[str, list[TrackedFile]]) -> bool:
    """True where a folder, with its other pointers, holds files after the change."""
    top = name.partition("/")[0]
    if top not in FOLDERS:
        return bool(changed[name])
    return any(changed.get(part, pointer.files != 0) for part, pointer in repository.pointers(commit, top).items())


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
            found[path] = text_without(path, content, traces, pseudonym)
    return found


def text_without(path: str, content: bytes, traces: Traces, pseudonym: str) -> bytes | None:
    """The text of a file that names the person without the person; None for one that goes."""
    if path.startswith(f"{INBOX}/"):
        return None
    if path.endswith(BY_LINES):
        return b"".join(line for line in content.splitlines(keepends=True) if not traces.count(line))
    return traces.redacted(content, pseudonym)
