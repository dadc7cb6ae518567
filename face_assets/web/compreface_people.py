"""CompreFace's subjects and their examples: people and photos of the gallery, whose changes are commits on the data repository.

The id of an example is the md5 of its file, written as a UUID: it needs no index, and stays when a subject is renamed.
"""

import hashlib
import re
from typing import Annotated, Any
from uuid import UUID

import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from face_assets.core.errors import UserError
from face_assets.dataset.file_kinds import reader_of
from face_assets.dataset.photo_folders import person_key
from face_assets.gallery.people import NOT_EMPTY, ConflictError, NotEnrolledError, People, valid_name
from face_assets.gallery.people_changes import Merge, RemovePerson, RemovePhotos, Rename
from face_assets.web.compreface import Asked, similarity
from face_assets.web.compreface_route import CompreFaceRoute
from face_assets.web.declared_subjects import DeclaredSubjects
from face_assets.web.people import AnAuthor, AService
from face_assets.web.people_service import PeopleService
from face_assets.web.photos import read_photos
from face_assets.web.problems import WebError
from face_assets.web.recognition import Folders, body, by_one_release, release_of
from face_assets.web.recognizer import while_connected
from face_assets.web.status import ARecognizer

PAGE, LONGEST_PAGE = 20, 2000
MOST_AT_ONCE = 10_000
SWALLOWED = re.compile(r"(?P<subject>.*)\?det_prob_threshold=(?P<least>[0-9.]{1,20})")
"""The JavaScript client 1.0.0 writes an option of `add` behind the name of the subject."""


class Subject(BaseModel):
    """A subject by name."""

    subject: str


class Example(Subject):
    """A photo of a subject."""

    image_id: str


class ExamplesPage(BaseModel):
    """Photos of subjects."""

    faces: list[Example]
    page_number: int
    page_size: int = Field(description="as it was asked for")
    total_pages: int
    total_elements: int


def declared_of(request: Request) -> DeclaredSubjects:
    """Returns the application's list of subjects without a photo."""
    found: DeclaredSubjects = request.app.state.declared
    return found


Declared = Annotated[DeclaredSubjects, Depends(declared_of)]
OfSubject = Annotated[str, Query(description="a subject; empty for all")]
Ids = Annotated[list[UUID], Field(max_length=MOST_AT_ONCE)]
subjects = APIRouter(prefix="/api/v1/recognition/subjects", tags=["CompreFace"], route_class=CompreFaceRoute)
faces = APIRouter(prefix="/api/v1/recognition/faces", tags=["CompreFace"], route_class=CompreFaceRoute)
pictures = APIRouter(prefix="/api/v1/static", tags=["CompreFace"])
# all routes block on git and files, so each is a function that FastAPI gives a thread, unless it reads a photo from the request


@subjects.get("")
@subjects.get("/", include_in_schema=False)
def list_subjects(service: AService, declared: Declared) -> dict[str, list[str]]:
    """List the subjects by name."""
    _, people = service.people()
    without = [name for name in declared.names() if person_key(name) not in people.names]
    return {"subjects": sorted([*people.names.values(), *without])}


@subjects.post("", status_code=201)
def add_subject(service: AService, declared: Declared, author: AnAuthor, of: Subject) -> Subject:
    """Declare a subject. It is enrolled with its first photo."""
    name = _name(of.subject)
    _, people = service.people()
    if person_key(name) in {*people.names, *map(person_key, declared.names())}:
        raise WebError(400, "Subject already exists", "subject_exists")
    declared.change(add=[name])
    return Subject(subject=name)


@subjects.put("/{subject}")
def rename_subject(service: AService, declared: Declared, author: AnAuthor, subject: str, to: Subject) -> dict[str, bool]:
    """Rename a subject, or merge it with the one that has the name."""
    old, new = _name(subject), _name(to.subject)
    _, people = service.people()
    enrolled = people.names.get(person_key(old))
    if new in (old, enrolled):
        return {"updated": False}
    if enrolled:
        merged = person_key(new) in people.names and person_key(new) != person_key(old)
        service.change(Merge(old, new) if merged else Rename(old, new), author)
        declared.change(remove=[new])
    elif declared.change(remove=[old]):
        declared.change(add=[] if person_key(new) in people.names else [new])
    else:
        raise _no_subject(subject)
    return {"updated": True}


@subjects.delete("/{subject}")
def delete_subject(service: AService, declared: Declared, author: AnAuthor, subject: str) -> Subject:
    """Remove a subject and its photos. The photos stay in the history of the data repository."""
    name = _name(subject)
    _, people = service.people()
    was_declared = declared.change(remove=[name])
    if person_key(name) in people.names:
        service.change(RemovePerson(name), author)
    elif not was_declared:
        raise _no_subject(subject)
    return Subject(subject=people.names.get(person_key(name), name))


@subjects.delete("")
def delete_subjects(service: AService, declared: Declared, author: AnAuthor) -> dict[str, int]:
    """Remove the subjects without photos. It is refused where somebody is enrolled, for a gallery of nobody cannot go live."""
    _, people = service.people()
    if people.names:
        raise ConflictError(f"{len(people.names)} people are enrolled, and {NOT_EMPTY} Remove subjects by name, all but one.")
    return {"deleted": len(declared.change(remove=declared.names()))}


@faces.post("", status_code=201, openapi_extra=body(["file"]))
async def add_example(
    request: Request,
    service: AService,
    recognizer: ARecognizer,
    declared: Declared,
    author: AnAuthor,
    asked: Asked,
    subject: Annotated[str, Query(description="the subject, who may be new")],
) -> Example:
    """Enrol a subject from a photo with one face, or add a photo."""
    if swallowed := SWALLOWED.fullmatch(subject):
        subject, asked = swallowed["subject"], asked.at_least(swallowed["least"])
    name = _name(subject)
    (photo,) = await read_photos(request)
    if asked.least:
        asked.rows(await while_connected(request, recognizer.detect(photo.content)))
    return await run_in_threadpool(_enrol, service, declared, author, name, photo.content)


def _enrol(service: PeopleService, declared: DeclaredSubjects, author: AnAuthor, name: str, photo: bytes) -> Example:
    md5 = hashlib.md5(photo, usedforsecurity=False).hexdigest()
    _, people = service.people()
    owner = people.owner_of(md5)
    if owner is None or person_key(owner) != person_key(name):
        service.add(name, [photo], None, False, author)
    declared.change(remove=[name])
    return _example(people.names.get(person_key(name), name), md5)


@faces.get("")
@faces.get("/", include_in_schema=False)
def list_examples(service: AService, subject: OfSubject = "", page: int = 0, size: int = PAGE) -> ExamplesPage:
    """List the photos of a subject, or of all, by page."""
    _, people = service.people()
    found = _examples_of(people, subject)
    size = min(size, LONGEST_PAGE) if size > 0 else PAGE
    page = max(page, 0)
    shown = [_example(name, md5) for name, md5 in found[page * size : (page + 1) * size]]
    return ExamplesPage(faces=shown, page_number=page, page_size=size, total_pages=-(-len(found) // size), total_elements=len(found))


@faces.delete("")
def delete_examples(service: AService, declared: Declared, author: AnAuthor, subject: OfSubject = "") -> dict[str, int]:
    """Remove the photos of a subject, who is then enrolled no longer, or of all, which is refused."""
    _, people = service.people()
    if not subject:
        raise ConflictError(f"These are the photos of everybody who is enrolled, and {NOT_EMPTY} Name a subject.")
    key = person_key(_name(subject))
    if key in people.names:
        service.change(RemovePerson(subject), author)
    return {"deleted": len(people.photos.get(key, {}))}


@faces.delete("/{image_id}")
def delete_example(service: AService, author: AnAuthor, image_id: UUID) -> Example:
    """Remove a photo. A subject without another one is enrolled no longer."""
    removed = _remove(service, author, [image_id])
    if not removed:
        raise _no_example(image_id)
    return removed[0]


@faces.post("/delete")
def delete_several_examples(service: AService, author: AnAuthor, image_ids: Ids) -> list[Example]:
    """Remove photos, as one commit. Unknown ids are left out."""
    return _remove(service, author, image_ids)


def _remove(service: PeopleService, author: AnAuthor, ids: list[UUID]) -> list[Example]:
    """The removed photos."""
    _, people = service.people()
    wanted = {one.hex for one in ids}
    found = [_example(name, md5) for name, md5 in _examples_of(people) if md5 in wanted]
    if found:
        service.change(RemovePhotos(frozenset(wanted)), author)
    return found


@faces.get("/{image_id}/img", response_class=Response)
def download(service: AService, image_id: UUID) -> Response:
    """A photo; no bytes for an unknown id."""
    return _picture(service, image_id)


@pictures.get("/{api_key}/images/{image_id}", response_class=Response)
def download_directly(service: AService, api_key: str, image_id: UUID) -> Response:
    """A photo for an <img>; no bytes for an unknown id."""
    return _picture(service, image_id)


def _picture(service: PeopleService, image_id: UUID) -> Response:
    try:
        content = service.example(image_id.hex)
    except NotEnrolledError:
        return Response(b"", media_type="application/octet-stream")
    kind = reader_of(content)
    return Response(content, media_type=f"image/{kind.lower()}" if kind else "application/octet-stream")


@faces.post("/{image_id}/verify", openapi_extra=body(["file"]))
async def verify_example(
    request: Request, service: AService, recognizer: ARecognizer, folders: Folders, asked: Asked, image_id: UUID
) -> dict[str, Any]:
    """The faces of a photo, each compared with the largest face of an example."""
    (photo,) = await read_photos(request)
    name, example = await run_in_threadpool(named_example, service, image_id)
    source, target = await while_connected(request, by_one_release(recognizer, [example, photo.content], asked.landmarks))
    files = folders.read(release_of(target))
    own = source["EMBEDDINGS"][asked.rows(source)[0]]
    found = [
        {
            **asked.face(target, row),
            "subject": name,
            "similarity": similarity(float(np.dot(own, target["EMBEDDINGS"][row])), files.verification_threshold),
        }
        for row in asked.rows(target)
    ]
    return asked.result(found, files.release)


def named_example(service: PeopleService, image_id: UUID) -> tuple[str, bytes]:
    """Returns the subject of an example, and its photo. Raises WebError."""
    _, people = service.people()
    try:
        return people.owner_of(image_id.hex) or "", service.example(image_id.hex)
    except NotEnrolledError as error:
        raise _no_example(image_id) from error


def _name(text: str) -> str:
    """The name of a subject. Raises WebError."""
    try:
        return valid_name(text)
    except UserError as error:
        raise WebError(400, str(error), "invalid") from error


def _examples_of(people: People, subject: str = "") -> list[tuple[str, str]]:
    """Name and md5 of each photo, by name and path; a file that is enrolled twice under a name counts once."""
    keys = [person_key(_name(subject))] if subject else people.names.keys()
    found = sorted((people.names[key], path, md5) for key in keys if key in people.names for path, md5 in people.photos[key].items())
    return list(dict.fromkeys((name, md5) for name, _, md5 in found))


def _example(name: str, md5: str) -> Example:
    return Example(image_id=str(UUID(hex=md5)), subject=name)


def _no_subject(name: str) -> WebError:
    return WebError(404, f"Subject {name} not found", "not_enrolled")


def _no_example(image_id: UUID) -> WebError:
    return WebError(404, f"Image {image_id} not found", "no_example")
