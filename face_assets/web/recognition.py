"""Recognition over HTTP: who is on a photo, whether two show one person, and where faces are."""

import asyncio
import math
import time
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from face_assets.serving.rights import EMBEDDINGS
from face_assets.serving.runtime.photos_of_person import MOST_PHOTOS
from face_assets.web.caller import caller_of
from face_assets.web.photos import read_photos
from face_assets.web.problems import WebError
from face_assets.web.recognizer import Arrays, Recognizer, while_connected
from face_assets.web.release_files import ReleaseFiles, ReleaseFolders
from face_assets.web.status import ARecognizer

MOST_NEAREST = 100
SAME_PIXELS = 1.0  # in which boxes of one photo may differ, by the photos that are looked at beside it
DEPLOYMENTS = 2  # tries to get answers of one release while another becomes live
BASE64 = {"type": "string", "contentEncoding": "base64"}
FILE = {"type": "string", "contentMediaType": "application/octet-stream"}
KINDS = ("image/jpeg", "image/png", "image/webp", "image/heic", "application/octet-stream")


def body(names: Sequence[str], several: bool = False, raw: bool = False) -> dict[str, Any]:
    """Returns the request body of an operation for the OpenAPI document. several: a list `photos` too; raw: the bytes alone too."""
    parts = {"multipart/form-data": FILE, "application/json": BASE64}
    content: dict[str, Any] = {
        kind: {"schema": {"type": "object", "properties": dict.fromkeys(names, part)}} for kind, part in parts.items()
    }
    if several:
        content["application/json"]["schema"]["properties"]["photos"] = {"type": "array", "items": BASE64}
    if raw:
        content |= {kind: {"schema": FILE} for kind in KINDS}
    return {"requestBody": {"required": True, "content": content}}


class Person(BaseModel):
    """A person who is enrolled."""

    name: str
    score: float = Field(description="cosine of the face with the person's template, -1 to 1")
    stranger_rate: float | None = Field(
        description="share of strangers' photos that reach this score with somebody who is enrolled; null by a release of earlier versions"
    )


class Match(BaseModel):
    """The person that a face, or several photos of one person, show."""

    accepted: bool = Field(description="whether the nearest person is near enough")
    name: str | None = Field(description="the person, where accepted")
    why: str = Field(description="`accepted`, `below_threshold`, `too_poor` (a better photo is needed) or `nobody_enrolled`")
    score: float | None = Field(description="cosine with the nearest person")
    stranger_rate: float | None = Field(description="share of strangers' photos that reach this score with somebody")
    nearest: list[Person] = Field(description="the `k` nearest people, accepted or not")
    embedding: list[float] | None = Field(None, description="where it was asked for, and the service may return it")


class Detection(BaseModel):
    """A face on a photo."""

    box: tuple[float, float, float, float] = Field(description="x1, y1, x2, y2 in pixels of the photo as its orientation shows it")
    landmarks: list[tuple[float, float]] | None = Field(description="eyes, nose, corners of the mouth, in pixels")
    probability: float = Field(description="that it is a face, by the detector")


class Face(Detection):
    """A face, and who it is."""

    photo: int = Field(0, description="number of the photo, from 0")
    quality: float | None = Field(description="0 to 100; null by a release without a scale")
    match: Match | None = Field(description="null where nobody was looked for, or by several photos together")


class Answer(BaseModel):
    """Facts that every answer states."""

    release: str = Field(description="the release that answered")
    time: str = Field(description="when, in UTC")


class Recognition(Answer):
    """The people on a photo."""

    threshold: float = Field(description="score from which the nearest person is accepted")
    faces: list[Face] = Field(description="the largest first; none where no face is found")
    person: Match | None = Field(None, description="the person of several photos")


class Verification(Answer):
    """The comparison of two photos."""

    same: bool
    score: float = Field(description="cosine of the two faces, -1 to 1")
    threshold: float = Field(description="score from which they are one person's")
    faces: list[Face] = Field(description="the compared faces, one of each photo")


class Detections(Answer):
    """The faces on a photo."""

    faces: list[Detection]


async def folders_of(request: Request) -> ReleaseFolders:
    """Returns the application's release folders."""
    found: ReleaseFolders = request.app.state.folders
    return found


async def _may_return_embeddings(request: Request, embeddings: Annotated[bool, Query(description="with embeddings")] = False) -> bool:
    caller = caller_of(request)
    if embeddings and not caller.may(EMBEDDINGS):
        allows = "FACE_ASSETS_WEB_EMBEDDINGS=true allows it" if caller.is_local else f"{caller.name} needs the right `embeddings`"
        raise WebError(403, f"Embeddings are biometric data, from which a face can be reconstructed: {allows}.")
    return embeddings


Folders = Annotated[ReleaseFolders, Depends(folders_of)]
WithEmbeddings = Annotated[bool, Depends(_may_return_embeddings)]
OneFace = Annotated[bool, Query(description="refuse photos with several faces, instead of taking the largest")]
router = APIRouter(prefix="/api/v1", tags=["recognition"])


@router.post("/recognize", openapi_extra=body(["photo"], several=True, raw=True))
async def recognize(
    request: Request,
    recognizer: ARecognizer,
    folders: Folders,
    with_embeddings: WithEmbeddings,
    k: Annotated[int, Query(ge=0, le=MOST_NEAREST, description="number of nearest people of each face")] = 5,
    landmarks: Annotated[bool, Query(description="with landmarks, for which one photo is looked at twice")] = False,
    one_person: Annotated[bool, Query(description="several photos of one person, who is looked for by all together")] = False,
) -> Recognition:
    """The people on a photo, or the person of several photos, which are then sent as several parts or as `photos`."""
    photos = await read_photos(request, most=MOST_PHOTOS if one_person else 1)
    if len(photos) > 1:
        found = await while_connected(request, recognizer.identify([photo.content for photo in photos]))
        return _of_several(found, len(photos), folders, k, with_embeddings)
    found = await while_connected(request, look(recognizer, photos[0].content, landmarks))
    answer = recognition_of(found, folders, k, with_embeddings)
    if one_person:
        if not answer.faces:
            raise no_face("The photo shows no face")
        answer.person = answer.faces[0].match
    return answer


async def look(recognizer: Recognizer, photo: bytes, landmarks: bool) -> Arrays:
    """Returns the recognizer's outputs for a photo, with landmarks by the detector. Raises WebError."""
    if not landmarks:
        return await recognizer.identify([photo])
    found, places = await asyncio.gather(recognizer.identify([photo]), recognizer.detect(photo))
    if found["BOXES"].shape != places["BOXES"].shape or not np.allclose(found["BOXES"], places["BOXES"], atol=SAME_PIXELS):
        return found  # another release has become live between the two
    return {**found, "LANDMARKS": places["LANDMARKS"]}


def _of_several(found: Arrays, photos: int, folders: ReleaseFolders, k: int, with_embeddings: bool) -> Recognition:
    """The person of several photos, and the largest face of each on which there is one. Raises WebError where there is none."""
    files = folders.read(release_of(found))
    faces = [face_of(found, row, None, row) for row in range(photos) if np.isfinite(found["BOXES"][row]).all()]
    if not faces:
        raise no_face("None of the photos shows a face")
    person = match_of(found, 0, files, k, with_embeddings)
    return Recognition(**stated(files), threshold=files.identification_threshold, faces=faces, person=person)


def recognition_of(found: Arrays, folders: ReleaseFolders, k: int, with_embeddings: bool = False) -> Recognition:
    """Returns the people on one photo by the recognizer's outputs, with the k nearest people of each face."""
    files = folders.read(release_of(found))
    matches = [match_of(found, row, files, k, with_embeddings) for row in range(len(found["SCORE"]))]
    faces = [face_of(found, row, match) for row, match in enumerate(matches)]
    return Recognition(**stated(files), threshold=files.identification_threshold, faces=faces)


@router.post("/verify", openapi_extra=body(["first", "second"]))
async def verify(request: Request, recognizer: ARecognizer, folders: Folders, one_face: OneFace = False) -> Verification:
    """Comparison of two photos by the largest face of each: whether they show one person."""
    photos = await read_photos(request, least=2, most=2)
    subjects = await while_connected(request, _subjects(recognizer, [photo.content for photo in photos], one_face))
    files = folders.read(release_of(subjects[0]))
    score = float(np.dot(subjects[0]["EMBEDDINGS"][0], subjects[1]["EMBEDDINGS"][0]))
    faces = [face_of(found, 0, None, number) for number, found in enumerate(subjects)]
    threshold = files.verification_threshold
    return Verification(**stated(files), same=score >= threshold, score=score, threshold=threshold, faces=faces)


async def _subjects(recognizer: Recognizer, photos: Sequence[bytes], one_face: bool) -> list[Arrays]:
    """The recognizer's outputs for each photo. Raises WebError for a photo without a face, or with several where one is wanted."""
    found = await by_one_release(recognizer, photos)
    for name, one in zip(("first", "second"), found, strict=True):
        if not len(one["BOXES"]):
            raise no_face(f"The {name} photo shows no face")
        if one_face and len(one["BOXES"]) > 1:
            raise WebError(422, f"The {name} photo shows {len(one['BOXES'])} faces, and one is wanted.", "several_faces")
    return found


async def by_one_release(recognizer: Recognizer, photos: Sequence[bytes], landmarks: bool = False) -> list[Arrays]:
    """Returns the recognizer's outputs for each photo, all by one release: those of two do not compare. Raises WebError."""
    for _ in range(DEPLOYMENTS):
        found = await asyncio.gather(*(look(recognizer, photo, landmarks) for photo in photos))
        if len({release_of(one) for one in found}) == 1:
            return found
    raise WebError(503, "A release is being deployed: send the request again in a second.", "busy")


@router.post("/detect", openapi_extra=body(["photo"], raw=True))
async def detect(request: Request, recognizer: ARecognizer) -> Detections:
    """The faces on a photo; who they are is not looked up."""
    photos = await read_photos(request)
    live, found = await while_connected(request, _detected(recognizer, photos[0].content))
    faces = [Detection(**_place(found, row)) for row in range(len(found["BOXES"]))]
    return Detections(release=live, time=now(), faces=faces)


async def _detected(recognizer: Recognizer, photo: bytes) -> tuple[str, Arrays]:
    found = await recognizer.detect(photo)
    return (await recognizer.live()).release, found


def no_face(what: str) -> WebError:
    """Returns the error of a photo without a face."""
    return WebError(422, f"{what}: send one on which a face is large, sharp and upright.", "no_face")


def now() -> str:
    """Returns the time in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def release_of(found: Arrays) -> str:
    """Returns the release that answered."""
    name: str = found["RELEASE"][0].decode()
    return name


def stated(files: ReleaseFiles) -> dict[str, str]:
    """Returns what every answer states."""
    return {"release": files.release, "time": now()}


def match_of(found: Arrays, row: int, files: ReleaseFiles, k: int, with_embedding: bool = False) -> Match:
    """Returns the match of a row of the recognizer's outputs, with the k nearest people."""
    nearest = files.nearest(found["EMBEDDINGS"][row], max(k, 1))
    accepted = bool(found["ACCEPTED"][row])
    poor = "TOO_POOR" in found and bool(found["TOO_POOR"][row])
    why = "accepted" if accepted else "nobody_enrolled" if not nearest else "too_poor" if poor else "below_threshold"
    score = float(found["SCORE"][row])
    return Match(
        accepted=accepted,
        name=found["IDENTITY"][row].decode() if accepted else None,
        why=why,
        score=score if nearest else None,
        stranger_rate=files.rate(score) if nearest else None,
        nearest=[Person(name=one.name, score=one.score, stranger_rate=one.rate) for one in nearest[:k]],
        embedding=[float(value) for value in found["EMBEDDINGS"][row]] if with_embedding else None,
    )


def face_of(found: Arrays, row: int, match: Match | None, photo: int = 0) -> Face:
    """Returns the face of a row of the recognizer's outputs."""
    quality = float(found["QUALITY"][row]) if "QUALITY" in found else math.nan
    return Face(**_place(found, row), photo=photo, quality=None if math.isnan(quality) else quality, match=match)


def _place(found: Arrays, row: int) -> dict[str, Any]:
    landmarks = found["LANDMARKS"][row].tolist() if "LANDMARKS" in found else None
    return {"box": found["BOXES"][row].tolist(), "landmarks": landmarks, "probability": float(found["PROBABILITIES"][row])}
