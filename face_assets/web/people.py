"""/api/v1/people: who is enrolled, and changes of that, each of which is a commit on the data repository."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from face_assets.core.errors import RefusedError, UserError
from face_assets.core.identifiers import commit_id
from face_assets.dataset.file_kinds import reader_of
from face_assets.gallery.people import ConflictError, NotEnrolledError
from face_assets.gallery.people_changes import Merge, PeopleChange, RemovePerson, RemovePhoto, Rename
from face_assets.gallery.people_commits import Outcome
from face_assets.gallery.photo_checks import PhotosRefusedError
from face_assets.registry.person import Person
from face_assets.registry.workspace import Workspace
from face_assets.serving.runtime.photos_of_person import MOST_PHOTOS
from face_assets.web.caller import caller_of
from face_assets.web.people_service import PeopleService
from face_assets.web.photos import read_photos
from face_assets.web.problems import WebError, of_user_error

router = APIRouter(tags=["people"])
SECONDS_TO_WAIT = 60.0
SECONDS_BETWEEN_LOOKS = 0.25
STATES = ("live", "refused", "failed", "held")


def service_of(request: Request) -> PeopleService:
    """Returns the application's service of people."""
    found: PeopleService = request.app.state.people
    return found


AService = Annotated[PeopleService, Depends(service_of)]
AName = Annotated[str, Path(description="the person's name")]
APhoto = Annotated[str, Path(description="id of the photo: its md5", pattern="^[0-9a-f]{32}$")]
Wait = Annotated[bool, Query(description="respond when the change is live, or has ended otherwise, within a minute")]
Acknowledge = Annotated[bool, Query(description="enrol from photos in doubt, which the commit puts on record")]


class PersonRow(BaseModel):
    """An enrolled person."""

    name: str
    photos: int = Field(description="number of photos")


class PeoplePage(BaseModel):
    """Enrolled people by name."""

    people: list[PersonRow]
    total: int = Field(description="people who match, on all pages")
    commit: str = Field(description="commit of the data repository that was read")


class PersonPhoto(BaseModel):
    """A photo that a person is enrolled from."""

    id: str
    path: str = Field(description="its path in the gallery")


class EnrolledPerson(BaseModel):
    """An enrolled person with photos."""

    name: str
    photos: list[PersonPhoto]


class Changed(BaseModel):
    """A change of people."""

    commit: str
    change: str = Field(description="the change as the commit's message has it")
    state: Literal["committed", "waiting", "running", "live", "refused", "failed", "held"]
    reason: str = Field(description="why it did not go live; empty otherwise")
    follow: str = Field(description="path that tells the state from now on")


class CommitState(BaseModel):
    """A commit on its way to live."""

    commit: str
    state: Literal["waiting", "running", "live", "refused", "failed", "held"]
    reason: str


class NewName(BaseModel):
    """Another name for a person, or the enrolled person to merge with."""

    name: str | None = None
    merge_into: str | None = None


def problem_of(error: UserError) -> WebError:
    """Returns an error about people as one of the web service."""
    if isinstance(error, NotEnrolledError):
        return WebError(404, str(error), "not_enrolled")
    if isinstance(error, ConflictError):
        return WebError(409, str(error), "conflict")
    if isinstance(error, PhotosRefusedError):
        return WebError(422, str(error), error.code)
    if isinstance(error, RefusedError):
        return WebError(422, str(error), "refused")
    return of_user_error(error)


async def _call(work: Callable[..., Any], *arguments: Any) -> Any:
    """The result of work that blocks. Raises WebError."""
    try:
        return await run_in_threadpool(work, *arguments)
    except UserError as error:
        raise problem_of(error) from error


async def author_of(request: Request) -> Person:
    """Returns the author of a change: the key, the user who has signed in, or this machine's git identity."""
    return caller_of(request).person()


AnAuthor = Annotated[Person, Depends(author_of)]


@router.get("/api/v1/people")
async def list_people(
    service: AService,
    q: Annotated[str, Query(description="part of the name, in any case")] = "",
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> PeoplePage:
    """List the enrolled people by name."""
    commit, people = await _call(service.people)
    keys = sorted(key for key in people.names if q.lower() in key)
    rows = [PersonRow(name=people.names[key], photos=len(people.photos[key])) for key in keys[offset : offset + limit]]
    return PeoplePage(people=rows, total=len(keys), commit=commit)


@router.get("/api/v1/people/{name}")
async def get_person(service: AService, name: AName) -> EnrolledPerson:
    """A person and the photos that he or she is enrolled from."""
    _, people = await _call(service.people)
    key = await _call(people.key_of, name)
    photos = [PersonPhoto(id=md5, path=path) for path, md5 in sorted(people.photos[key].items())]
    return EnrolledPerson(name=people.names[key], photos=photos)


@router.get("/api/v1/people/{name}/photos/{photo}", response_class=FileResponse)
async def get_photo(service: AService, name: AName, photo: APhoto) -> Response:
    """A photo that a person is enrolled from, as it was sent."""
    file = await _call(service.photo, name, photo)
    content = await run_in_threadpool(file.read_bytes)
    kind = reader_of(content)
    return Response(content, media_type=f"image/{kind.lower()}" if kind else "application/octet-stream")


@router.post("/api/v1/people", status_code=202)
async def enrol(
    request: Request,
    response: Response,
    service: AService,
    author: AnAuthor,
    name: Annotated[str, Query(description="name of the new person")],
    wait: Wait = False,
    acknowledge: Acknowledge = False,
) -> Changed:
    """Enrol a person from photos: multipart, the bytes of one, or base64 in JSON.

    Each photo must show one face, well enough, that agrees with the others and with nobody who is enrolled: 422 says why one does not.
    """
    photos = [photo.content for photo in await read_photos(request, most=MOST_PHOTOS)]
    return await _answer(response, await _call(service.add, name, photos, True, acknowledge, author), wait)


@router.post("/api/v1/people/{name}/photos", status_code=202)
async def add_photos(
    request: Request,
    response: Response,
    service: AService,
    author: AnAuthor,
    name: AName,
    wait: Wait = False,
    acknowledge: Acknowledge = False,
) -> Changed:
    """Add photos to a person who is enrolled; 422 says why one is refused."""
    photos = [photo.content for photo in await read_photos(request, most=MOST_PHOTOS)]
    return await _answer(response, await _call(service.add, name, photos, False, acknowledge, author), wait)


@router.put("/api/v1/people/{name}", status_code=202)
async def rename(response: Response, service: AService, author: AnAuthor, name: AName, to: NewName, wait: Wait = False) -> Changed:
    """Rename a person, or merge two names of one person."""
    if (to.name is None) == (to.merge_into is None):
        raise WebError(422, "State either `name` or `merge_into`.")
    change: PeopleChange = Rename(name, to.name) if to.name is not None else Merge(name, to.merge_into or "")
    return await _answer(response, await _call(service.change, change, author), wait)


@router.delete("/api/v1/people/{name}", status_code=202)
async def remove_person(response: Response, service: AService, author: AnAuthor, name: AName, wait: Wait = False) -> Changed:
    """Remove a person from the gallery. The photos stay in the history of the data repository."""
    return await _answer(response, await _call(service.change, RemovePerson(name), author), wait)


@router.delete("/api/v1/people/{name}/photos/{photo}", status_code=202)
async def remove_photo(response: Response, service: AService, author: AnAuthor, name: AName, photo: APhoto, wait: Wait = False) -> Changed:
    """Remove one of a person's photos from the gallery."""
    return await _answer(response, await _call(service.change, RemovePhoto(name, photo), author), wait)


@router.get("/api/v1/commits/{commit}")
async def get_commit(commit: str) -> CommitState:
    """State of a commit of people on its way to live."""
    known = await _call(commit_id, commit)
    state, reason = await _call(_progress, known)
    return CommitState(commit=known, state=state, reason=reason)


async def _answer(response: Response, outcome: Outcome, wait: bool) -> Changed:
    """The response to a change; with `wait` once it has ended, or after SECONDS_TO_WAIT."""
    commit = str(outcome.commit)
    follow = f"/api/v1/commits/{commit}"
    state, reason = "committed", ""
    if wait:
        ends = asyncio.get_running_loop().time() + SECONDS_TO_WAIT
        while state not in STATES and asyncio.get_running_loop().time() < ends:
            state, reason = await _call(_progress, commit)
            await asyncio.sleep(0 if state in STATES else SECONDS_BETWEEN_LOOKS)
    response.status_code = 200 if state in STATES else 202
    response.headers["Location"] = follow
    return Changed(commit=commit, change=outcome.line, state=state, reason=reason, follow=follow)


def _progress(commit: str) -> tuple[str, str]:
    from face_assets.event_log.commit_progress import wait_for_commit  # with Dagster, which takes a second to import

    found = wait_for_commit(Workspace.load(), commit, 0.0)
    return found.state, found.reason
