"""The release with whose face a name is compared besides production's, so that no name gets another face in small steps."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from face_assets.audit.gallery_faces import GALLERY
from face_assets.core.params import Split
from face_assets.dataset.photo_folders import person_key
from face_assets.gallery.acknowledged import start_of
from face_assets.gallery.changes import Enrolment
from face_assets.gallery.enrolled_photos import listed_people, source_of
from face_assets.registry.acknowledgements import acknowledgements
from face_assets.registry.releases import Release
from face_assets.registry.stages import Assignment
from face_assets.registry.workspace import Workspace

MOST = 100
"""Releases of the line that are looked at, the newest ones."""


def first_releases(
    workspace: Workspace, line: Sequence[Assignment], keys: Iterable[str], split: Split, enrolled: Callable[[Release], Collection[str]]
) -> dict[str, Release]:
    """The oldest release of the line that enrols each person, from the one on that has the last acknowledgement of the name.

    line: of `Stages.line`, production first; enrolled: the keys of a release's templates. A person is left out for whom that is the
    release in production. Releases whose list is not on this machine are passed over.
    """
    line, left = line[:MOST], set(keys)
    if len(line) < 2 or not left:
        return {}
    starts = [start_of(workspace, one) for one in line]
    oldest = dict.fromkeys(left, len(line) - 1)
    for one in acknowledgements(workspace.repository, starts[0], starts[-1]):
        named = {person_key(name) for name in one.names} & left
        left -= named
        if named:
            oldest |= dict.fromkeys(named, _first_with(workspace, one.commit, starts))
    found: dict[str, Release] = {}
    for place, people in _people(workspace, line, split, set(oldest.values())):
        listed = {key for key in oldest.keys() - found.keys() if place <= oldest[key] and key in people.photos}
        found |= dict.fromkeys(listed & set(enrolled(line[place].release)) if listed else (), line[place].release)
        if oldest.keys() <= found.keys():
            break
    return {key: release for key, release in found.items() if release.commit != line[0].release.commit}


def had_gallery(workspace: Workspace, line: Sequence[Assignment]) -> str | None:
    """The newest version of the line that enrolled a folder of its own, None without one."""
    commits = [one.release.trained_commit for one in line[:MOST]]
    repository = workspace.repository
    pointers = repository.read_many([f"{commit}:{GALLERY}.dvc" for commit in commits], most=1_000_000)
    parts = repository.read_many([f"{commit}:{GALLERY}" for commit in commits], most=1_000_000, kind="tree")  # git has its pointers alone
    found = zip(line, pointers, parts, strict=False)
    return next((one.release.version for one, pointer, tree in found if pointer is not None or tree is not None), None)


def _first_with(workspace: Workspace, commit: str, starts: Sequence[str]) -> int:
    """The place of the oldest release that has the commit, 0 for production's."""
    return next((place for place in reversed(range(len(starts))) if workspace.repository.is_within(commit, [starts[place]])), 0)


def _people(workspace: Workspace, line: Sequence[Assignment], split: Split, wanted: set[int]) -> Iterator[tuple[int, Enrolment]]:
    """Places and people of the releases, the oldest first, from the oldest wanted one on."""
    repository, last = workspace.repository, ("", Enrolment({}, {}))
    for place in reversed(range(max(wanted) + 1)):
        commit = line[place].release.trained_commit
        pointer = repository.pointer(commit, source_of(repository, commit))
        if pointer and pointer.md5 != last[0] and repository.is_listed(commit, source_of(repository, commit)):
            last = (pointer.md5, listed_people(repository, commit, split))
        if pointer and pointer.md5 == last[0]:
            yield place, last[1]
