"""Writes of people: several changes become one commit on the followed branch of the data repository."""

from collections.abc import Sequence
from dataclasses import dataclass

from face_assets.audit.gallery_faces import GALLERY
from face_assets.core.errors import UserError
from face_assets.core.identifiers import CommitId
from face_assets.dataset.steps import PHOTOS
from face_assets.gallery.enrolled_photos import source_of
from face_assets.gallery.people import Effect, People, valid_name
from face_assets.gallery.people_changes import AddPhotos, PeopleChange, message_of
from face_assets.gallery.people_register import PeopleRegister, read_register, today
from face_assets.registry.folder_commit import FolderChange, commit_folder
from face_assets.registry.person import PLATFORM, Person
from face_assets.registry.workspace import Workspace


@dataclass(frozen=True)
class Request:
    """A change of people, and who asked for it."""

    change: PeopleChange
    author: Person


@dataclass(frozen=True)
class Outcome:
    """The commit with a change and its line of the message; or the error by which it was refused."""

    commit: CommitId | None = None
    line: str = ""
    error: UserError | None = None


def people_at(workspace: Workspace, commit: str) -> People:
    """The people enrolled at a commit: those of the gallery, or of the photos where there is none."""
    repository = workspace.repository
    source = source_of(repository, commit)
    people = People.of(repository.files(commit, source))
    return people if source == GALLERY else people.only_photos()


def followed_branch(workspace: Workspace) -> str:
    """The branch of production that changes of people are committed to. Raises UserError where there is none, or several."""
    patterns, heads = workspace.settings.production_branches, workspace.repository.mirrored_heads()
    named = [pattern for pattern in patterns if pattern in heads]
    matching = workspace.production_branches()
    if not named and len(matching) != 1:
        found = f"several branches ({', '.join(matching)})" if matching else "no branch"
        where = workspace.repository.shown
        raise UserError(f"FACE_ASSETS_PRODUCTION_BRANCHES matches {found} of {where}: name the one first to which people are committed.")
    return named[0] if named else matching[0]


def require_possible(workspace: Workspace, commit: str, change: PeopleChange) -> None:
    """Raises UserError where a change is refused at a commit, by its people or by its register of people."""
    _require_entry(read_register(workspace.repository, commit), change)
    change.apply(people_at(workspace, commit))


def _require_entry(register: PeopleRegister | None, change: PeopleChange) -> None:
    if register and change.enrols is not None:
        register.require([valid_name(change.enrols)], today())


def change_people(workspace: Workspace, requests: Sequence[Request]) -> list[Outcome]:
    """One outcome for each request: those that are not refused are one commit, in their order.

    Raises UserError, then with nothing changed.
    """
    outcomes: list[Outcome] = []
    effects: dict[int, Effect] = {}

    def change(commit: CommitId) -> FolderChange | None:
        people, begins = people_at(workspace, commit), source_of(workspace.repository, commit) != GALLERY
        register = read_register(workspace.repository, commit)
        contents: dict[str, bytes] = {}
        outcomes.clear()
        effects.clear()
        for place, request in enumerate(requests):
            try:
                _require_entry(register, request.change)
                effects[place] = request.change.apply(people)
                outcomes.append(Outcome(line=effects[place].line))
            except UserError as error:
                outcomes.append(Outcome(error=error))
                continue
            if isinstance(request.change, AddPhotos):
                contents |= {photo.md5: photo.content for photo in request.change.photos}
        if not effects:
            return None
        authors = [request.author for place, request in enumerate(requests) if place in effects]
        several = len(set(authors)) > 1
        named = {place: author.name for place, author in enumerate(authors)} if several else {}
        acknowledged = list(dict.fromkeys(name for effect in effects.values() for name in effect.acknowledged))
        message = message_of(list(effects.values()), named, begins)
        photos = workspace.repository.pointer(commit, PHOTOS) if begins else None
        if photos and photos.not_pushed:
            raise UserError(photos.not_pushed)
        author = PLATFORM if several else authors[0]
        return FolderChange(people.listing(), contents, message, author, acknowledged, photos.remote if photos else None)

    workspace.repository.refresh()
    made = commit_folder(workspace.repository, followed_branch(workspace), GALLERY, change)
    return [outcome if outcome.error else Outcome(made, outcome.line) for outcome in outcomes]
