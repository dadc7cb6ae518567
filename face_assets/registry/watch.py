"""New commits on the branches of the data repository, and those that change the pipeline's inputs."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from face_assets.core.yaml_io import MOST_BYTES, is_path, parse_yaml
from face_assets.registry.acknowledgements import acknowledges
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.git import GitError
from face_assets.registry.pointer_parts import FOLDERS

PHOTOS = "photos.dvc"
PARAMETERS = "params.yaml"
REGISTER = "people.csv"
REVIEWED = "reviewed.csv"
"""Reviewed cases: a label that was called right counts for no refusal."""
UNCHANGED = "changes neither photos, gallery, people.csv, reviewed.csv nor parameters"
Inputs = Mapping[str, str]


@dataclass(frozen=True)
class NewCommit:
    """A new commit of a branch. reason: the reason for which it needs no run, None where it needs one; moved_here: it is the branch's
    new head."""

    commit: str
    branch: str
    production: bool
    reason: str | None = None
    moved_here: bool = False


class Branches:
    """The watched branches, by shell patterns: commits on those that match `production` go live, on those that match `experiments` they
    stop after the evaluation, and others are ignored."""

    def __init__(self, production: tuple[str, ...], experiments: tuple[str, ...]):
        self.production = production
        self.experiments = experiments

    def is_production(self, branch: str) -> bool:
        """True for a branch whose releases go into production."""
        return matches(branch, self.production)

    def watched(self, heads: Mapping[str, str]) -> dict[str, str]:
        """The heads of the watched branches, production's first."""
        names = [branch for branch in heads if self.is_production(branch) or matches(branch, self.experiments)]
        return {branch: heads[branch] for branch in sorted(names, key=lambda name: (not self.is_production(name), name))}


def matches(branch: str, patterns: tuple[str, ...]) -> bool:
    """True for a branch whose name matches one of the shell patterns."""
    return any(fnmatchcase(branch, pattern) for pattern in patterns)


def new_commits(repository: DataRepository, branches: Branches, before: Mapping[str, str], heads: Mapping[str, str]) -> Iterator[NewCommit]:
    """The commits by which the watched branches moved from the heads `before` to `heads`, in order on each branch.

    Where nothing was watched before, the heads alone are new, without their history. A branch's history is that of first parents, so a
    merge is one commit. Each commit is compared with the one before it on its branch, and the first with the branch's former head. The
    mirror must have `heads`.
    """
    seen: set[str] = set()
    watched = branches.watched(heads)
    for branch, head in watched.items():
        at = before.get(branch)
        if at == head:
            continue
        if at is not None and not _is_known(repository, at):
            at = None  # git has pruned the old head: the branch is treated as new
        production = branches.is_production(branch)
        commits = _came(repository, head, _known(repository, at, before, heads, watched, production)) if before else [head]
        if not commits and not production:
            continue  # it was made at, or reset to, a known commit
        earlier = _inputs_before(repository, at, commits) if before else None
        for commit in commits or [head]:
            inputs = inputs_of(repository, commit)
            if production or commit not in seen:
                reason = _why_not(inputs, earlier)
                if reason == UNCHANGED and acknowledges(repository, commit):
                    reason = None  # the commit before it may have been refused for want of this
                yield NewCommit(commit, branch, production, reason, moved_here=commit == head and at is not None)
            seen.add(commit)
            earlier = inputs


def _known(
    repository: DataRepository,
    at: str | None,
    before: Mapping[str, str],
    heads: Mapping[str, str],
    watched: Mapping[str, str],
    production: bool,
) -> list[str]:
    """The commits whose history is not new to a branch: its former head; else, and for experiments, the heads of all branches."""
    if production and at is not None:
        return [at]
    elsewhere = [*before.values(), *(commit for branch, commit in heads.items() if branch not in watched)]
    return [commit for commit in elsewhere if _is_known(repository, commit)]


def _came(repository: DataRepository, head: str, known: list[str]) -> list[str]:
    """The new commits up to the head, oldest first."""
    listed = repository.git("rev-list", "--first-parent", "--reverse", "--end-of-options", head, *(f"^{commit}" for commit in known), "--")
    return listed.decode().split()


def _inputs_before(repository: DataRepository, at: str | None, commits: list[str]) -> Inputs | None:
    """Inputs of the branch's former head, or of the parent of its first new commit; None where there is no such commit."""
    if at is None and commits:
        at = repository.git("show", "-s", "--format=%P", "--end-of-options", commits[0]).decode().partition(" ")[0].strip()
    return inputs_of(repository, at) if at and _is_known(repository, at) else None


def _is_known(repository: DataRepository, commit: str) -> bool:
    try:
        repository.git("cat-file", "-e", "--end-of-options", f"{commit}^{{commit}}")
    except GitError:
        return False
    return True


def _why_not(inputs: Inputs, earlier: Inputs | None) -> str | None:
    """The reason for which a commit needs no run; None where it needs one."""
    missing = [PHOTOS] if not any(name == PHOTOS or name.startswith("photos/") for name in inputs) else []
    missing += [] if PARAMETERS in inputs else [PARAMETERS]
    if missing:
        return f"holds no {' and no '.join(missing)}"
    return UNCHANGED if inputs == earlier else None


def inputs_of(repository: DataRepository, commit: str) -> Inputs:
    """The pipeline's inputs at a commit: the git object of each pointer, of people.csv, reviewed.csv and params.yaml, and of the files that
    the last one names.

    Raises GitError for a commit that the mirror does not have.
    """
    found = _objects(repository, commit, (*(f"{name}.dvc" for name in FOLDERS), REGISTER, REVIEWED, PARAMETERS))
    found |= {
        path: blob
        for path, blob in _objects(repository, commit, tuple(f"{name}/" for name in FOLDERS), "-r").items()
        if path.endswith(".dvc")
    }
    named = _named_files(repository, commit) if PARAMETERS in found else []
    paths = tuple(path for name in named for path in (name, f"{name}.dvc"))
    return found | _objects(repository, commit, paths) if paths else found


def tracked_by(pointers: Iterable[str]) -> tuple[str, ...]:
    """The folders and files that pointers track, by the paths of the pointers; a folder with several pointers once."""
    names = (path.removesuffix(".dvc") for path in pointers)
    return tuple(dict.fromkeys(top if (top := name.partition("/")[0]) in FOLDERS else name for name in names))


def _objects(repository: DataRepository, commit: str, paths: tuple[str, ...], *options: str) -> dict[str, str]:
    listed = repository.git("ls-tree", "-z", *options, "--end-of-options", commit, *paths).decode(errors="replace")
    rows = [row.split("\t", 1) for row in listed.split("\0") if row]
    return {path: facts.split()[2] for facts, path in rows}


def _named_files(repository: DataRepository, commit: str) -> list[str]:
    """The paths of starting weights and attributes in params.yaml, without names of known weights and absolute paths."""
    (content,) = repository.read_many([f"{commit}:{PARAMETERS}"], MOST_BYTES)
    try:
        values = parse_yaml(content or b"")
    except ValueError:  # the run reports the error
        return []
    found = [_at(values, "embedder", "weights"), _at(values, "evaluation", "attributes")]
    return [str(one) for one in found if isinstance(one, str) and _is_inside(one)]


def _at(values: object, section: str, key: str) -> object:
    part = values.get(section) if isinstance(values, dict) else None
    return part.get(key) if isinstance(part, dict) else None


def _is_inside(path: str) -> bool:
    """True for text that can be a path within the repository."""
    return is_path(path) and not path.startswith(("/", "~", ":", "-")) and ".." not in path.split("/")
