"""People whose change the commits since production acknowledge, as far as their photos are still those of the acknowledging commit."""

from collections.abc import Iterator

from face_assets.core.errors import UserError
from face_assets.dataset.photo_folders import person_key
from face_assets.gallery.changes import Enrolment
from face_assets.gallery.enrolled_photos import listed_people, source_of
from face_assets.registry.acknowledgements import Acknowledgement, acknowledgements
from face_assets.registry.erased import names_being_erased
from face_assets.registry.stages import Assignment
from face_assets.registry.workspace import Log, Workspace

MOST = 200
"""Acknowledging commits since production that are looked at, the newest ones."""


def start_of(workspace: Workspace, assignment: Assignment) -> str:
    """The commit of an assignment, or the trained commit of its release where a branch was rewritten."""
    is_there = workspace.repository.is_on_a_branch(assignment.commit)
    return assignment.commit if is_there else assignment.release.trained_commit


def acknowledged_people(workspace: Workspace, commit: str, assignment: Assignment | None, log: Log) -> set[str]:
    """Keys of the people whose change is acknowledged since production.

    An acknowledgement covers the changes up to the commit that carries it: the photos under the name must be the same there as at
    `commit`, and the detector that chooses the faces in them. A later change needs one of its own. People who are being erased on this
    machine need none, for it would name them for ever.
    """
    found = acknowledgements(workspace.repository, commit, start_of(workspace, assignment) if assignment else None)
    erased = {person_key(name) for name in names_being_erased(workspace.home.root)}
    return erased | {key for one in found[:MOST] for key in _covered(workspace, commit, one, log)}


def _covered(workspace: Workspace, commit: str, one: Acknowledgement, log: Log) -> Iterator[str]:
    keys = {person_key(name) for name in one.names}
    try:
        is_same, there, here = _people(workspace, one.commit, commit)
    except UserError as error:
        log(f"The acknowledgements of commit {one.commit[:12]} do not count, for its people are unknown: {error}")
        return
    yield from (key for key in keys if is_same or (there and here and there.photos.get(key) == here.photos.get(key)))


def _people(workspace: Workspace, then: str, now: str) -> tuple[bool, Enrolment | None, Enrolment | None]:
    """True where two commits enrol the same photos, and otherwise their people; None for both where their faces do not compare."""
    repository = workspace.repository
    if then == now:
        return True, None, None
    if workspace.params(then).detector != workspace.params(now).detector or source_of(repository, then) != source_of(repository, now):
        return False, None, None
    pointers = [repository.pointer(commit, source_of(repository, commit)) for commit in (then, now)]
    if pointers[0] and pointers[1] and pointers[0].md5 == pointers[1].md5:
        return True, None, None
    split = workspace.params(now).split
    return False, listed_people(repository, then, split), listed_people(repository, now, split)
