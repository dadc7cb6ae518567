"""The page Try: a photo is sent as by any form, and comes back with boxes, names, scores and reasons."""

import base64
import io
import time
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from PIL import Image

from face_assets.web.pages import page, rate_text
from face_assets.web.photos import read_photos
from face_assets.web.problems import WebError
from face_assets.web.recognition import Face, Folders, Recognition, look, recognition_of
from face_assets.web.recognizer import Recognizer, while_connected
from face_assets.web.status import ARecognizer

TITLE, NEAREST = "Try", 5
ORIENTATION, TURNED = 0x0112, (5, 6, 7, 8)
"""EXIF tag of the orientation, and its values that exchange width and height."""
REASONS = {
    "accepted": "Accepted: the nearest person is near enough.",
    "below_threshold": "Refused: the nearest person's score is below the threshold of this release.",
    "too_poor": "Refused: the face is too poor to tell. Send one that is larger, sharper or seen from the front.",
    "nobody_enrolled": "Refused: nobody is enrolled.",
}
router = APIRouter(include_in_schema=False)


@router.get("/")
async def empty(recognizer: ARecognizer) -> HTMLResponse:
    """The page without a photo."""
    return page("try.html", TITLE, **await _live(recognizer), **_nothing())


@router.get("/try")
async def again(recognizer: ARecognizer) -> HTMLResponse:
    """The page without a photo, for who reloads the address of an answer."""
    return await empty(recognizer)


@router.post("/try")
async def answer(request: Request, recognizer: ARecognizer, folders: Folders) -> HTMLResponse:
    """The page with the people on the photo, or with the reason why there are none."""
    began = time.monotonic()
    try:
        photo = (await read_photos(request))[0].content
        found = await while_connected(request, look(recognizer, photo, landmarks=True))
        recognition = recognition_of(found, folders, NEAREST)
    except WebError as error:
        return page("try.html", TITLE, error.status, **await _live(recognizer), **{**_nothing(), "error": str(error)})
    return answer_page(recognition, photo, round(1000 * (time.monotonic() - began)))


def answer_page(found: Recognition, photo: bytes, milliseconds: int) -> HTMLResponse:
    """Returns the page with an answer. photo: as it was sent, which the server has read."""
    width, height = shown_size(photo)
    values = {
        "summary": summary_of(found),
        "found": found,
        "faces": [_shown(face) for face in found.faces],
        "photo": f"data:{_kind(photo)};base64,{base64.b64encode(photo).decode()}",
        "width": width,
        "height": height,
        "milliseconds": milliseconds,
    }
    return page("try.html", TITLE, live=found.release, why=None, **{**_nothing(), **values})


def _nothing() -> dict[str, Any]:
    return {"summary": None, "found": None, "error": None}


async def _live(recognizer: Recognizer) -> dict[str, Any]:
    try:
        return {"live": (await recognizer.live()).release, "why": None}
    except WebError as error:
        return {"live": None, "why": str(error)}


def _shown(face: Face) -> dict[str, Any]:
    assert face.match is not None, face  # of one photo
    rate = face.match.stranger_rate
    return {**dict(face), "why": REASONS[face.match.why], "strangers": None if rate is None else rate_text(rate)}


def summary_of(found: Recognition) -> str:
    """Returns a heading: the people on the photo, the others counted."""
    if not found.faces:
        return "No face was found"
    names = [face.match.name for face in found.faces if face.match and face.match.name]
    others = len(found.faces) - len(names)
    strangers = [f"{others} {'person' if others == 1 else 'people'} not enrolled"] if others else []
    return ", ".join([*names, *strangers])


def shown_size(photo: bytes) -> tuple[int, int]:
    """Returns width and height in pixels as a browser shows a photo that the server has read."""
    with Image.open(io.BytesIO(photo)) as image:
        turned = image.getexif().get(ORIENTATION) in TURNED
        return (image.height, image.width) if turned else image.size


def _kind(photo: bytes) -> str:
    with Image.open(io.BytesIO(photo)) as image:
        return image.get_format_mimetype() or "image/jpeg"
