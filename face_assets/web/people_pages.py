"""The pages of people: who is enrolled, with faces and quality; changes go through /api/v1/people, as those of any program do."""

from pathlib import PurePosixPath
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool

from face_assets.core.errors import UserError
from face_assets.gallery.enrolled_photos import read_enrolled
from face_assets.gallery.people import People
from face_assets.registry.artifact_references import newest_artifact
from face_assets.registry.workspace import Workspace
from face_assets.web.face_pictures import FacePictures, Pictures
from face_assets.web.pages import page
from face_assets.web.people import AService, problem_of
from face_assets.web.people_service import PeopleService

TITLE = "People"
A_PAGE = 60
MOST_PHOTOS = 200
"""Photos of a person that are shown."""
router = APIRouter(include_in_schema=False)


@router.get("/people")
async def people_page(
    service: AService, q: Annotated[str, Query(max_length=300)] = "", at: Annotated[int, Query(ge=1, le=1_000_000)] = 1
) -> HTMLResponse:
    """A page of the enrolled people, by name. at: number of the page, from 1."""
    try:
        return await run_in_threadpool(_list, service, q, at)
    except UserError as error:
        problem = problem_of(error)
        return page("people.html", TITLE, problem.status, error=str(problem), q=q, **_nobody())


def _nobody() -> dict[str, Any]:
    return {"people": [], "total": 0, "everybody": 0, "at": 1, "last": 1, "commit": ""}


def _list(service: PeopleService, q: str, at: int) -> HTMLResponse:
    commit, people = service.people()
    wanted = " ".join(q.lower().split())
    keys = sorted(key for key in people.names if wanted in key)
    last = max(1, -(-len(keys) // A_PAGE))
    at = min(at, last)
    faces = _ranks(commit)
    rows = [_row(people, key, faces) for key in keys[(at - 1) * A_PAGE : at * A_PAGE]]
    counts = {"total": len(keys), "everybody": len(people.names), "at": at, "last": last}
    return page("people.html", TITLE, error=None, q=q, people=rows, commit=commit, **counts)


def _row(people: People, key: str, faces: dict[str, int]) -> dict[str, Any]:
    md5s = [md5 for _, md5 in sorted(people.photos[key].items())]
    first = next((md5 for md5 in md5s if md5 in faces), md5s[0])
    return {"name": people.names[key], "photos": len(md5s), "md5": first, "rank": faces.get(first, 0)}


def _ranks(commit: str) -> dict[str, int]:
    """The place of the subject's face among the faces of each enrolled photo, by md5, as the newest gallery has them."""
    found = newest_artifact(Workspace.load(), "face_gallery", commit)
    faces = read_enrolled(found[1]) if found else []
    return {face.md5: int(face.crop_key.partition(".")[2] or 0) for face in faces}


@router.get("/person")
async def person_page(service: AService, pictures: Pictures, name: Annotated[str, Query(max_length=1000)]) -> HTMLResponse:
    """A person's photos, and what can be changed."""
    try:
        return await run_in_threadpool(_show, service, pictures, name)
    except UserError as error:
        problem = problem_of(error)
        return page("people.html", TITLE, problem.status, error=str(problem), q="", **_nobody())


def _show(service: PeopleService, pictures: FacePictures, name: str) -> HTMLResponse:
    commit, people = service.people()
    key = people.key_of(name)
    listed = sorted(people.photos[key].items())
    ranks = _ranks(commit)
    keys = {md5: f"{md5}.{ranks[md5]}" if ranks.get(md5) else md5 for _, md5 in listed[:MOST_PHOTOS]}
    qualities = pictures.qualities(service.checks(), commit, list(keys.values()))
    photos = [
        {"md5": md5, "rank": ranks.get(md5, 0), "file": PurePosixPath(path).name, "quality": qualities[keys[md5]]}
        for path, md5 in listed[:MOST_PHOTOS]
    ]
    return page("person.html", TITLE, name=people.names[key], photos=photos, more=len(listed) - len(photos), commit=commit)
