"""POST /api/v1/releases/{version}/approve: a person's approval of a candidate."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from face_assets.core.errors import RefusedError
from face_assets.registry.decision import LONGEST_REASON
from face_assets.registry.person import PLATFORM, Person
from face_assets.registry.stages import Assignment
from face_assets.registry.workspace import Workspace
from face_assets.release.approval import approve
from face_assets.web.people import AnAuthor
from face_assets.web.problems import WebError

router = APIRouter(tags=["releases"])


class Note(BaseModel):
    """An approver's note."""

    note: str = Field("", max_length=LONGEST_REASON, description="what the approver looked at; it stands in the stage tag")


class Approved(BaseModel):
    """An approval on record. The machines that follow the stages deploy the release."""

    version: str
    approved_by: str = Field(description="name and mail address")
    time: str = Field(description="ISO 8601")
    note: str
    tag: str = Field(description="the stage tag with the approval")


@router.post("/api/v1/releases/{version}/approve")
async def approve_release(author: AnAuthor, version: Annotated[str, Path(description="such as v1.2.0")], note: Note) -> Approved:
    """Approve a candidate, which puts it into production. 403 says why the caller may not."""
    try:
        made = await run_in_threadpool(_approve, version, note.note, author)
    except RefusedError as error:
        raise WebError(403, str(error), "refused") from error
    person = Person(made.author, made.email)
    return Approved(version=made.release.version, approved_by=str(person), time=made.time, note=made.decision.reason, tag=made.tag)


def _approve(version: str, note: str, author: Person) -> Assignment:
    return approve(Workspace.load(), version, note, approver(author))


def approver(author: Person) -> Person:
    """Returns the person in whose name an author of changes approves: of a user who signed in by mail address, that address."""
    by_mail = author.email == PLATFORM.email and "@" in author.name
    return Person(author.name, author.name) if by_mail else author
