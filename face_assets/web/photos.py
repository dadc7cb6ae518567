"""The photos of a request: multipart, the bytes themselves, or base64 in JSON, all from callers who may send anything."""

import base64
import binascii
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from face_assets.serving.runtime.photos_of_person import MOST_PHOTOS
from face_assets.web.problems import WebError

NAMES = ("photo", "photos", "first", "second", "file", "source_image", "target_image")
TEXT_BYTES = 4096
"""Bytes of a field that is no photo."""
HOW = 'Send one as multipart/form-data, as image/jpeg, or as JSON {"photo": BASE64}.'
LARGE = 500_000
"""JSON of more bytes is parsed in a thread, for other requests wait meanwhile."""


@dataclass(frozen=True)
class Photo:
    """An encoded photo, and the name of its field: "photo" where it has none."""

    name: str
    content: bytes


async def read_photos(request: Request, least: int = 1, most: int = 1) -> list[Photo]:
    """Returns `least` to `most` photos of a request. Raises WebError."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise WebError(415, "A body with a Content-Encoding cannot be read: send it as it is.")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        photos = await _of_form(request.headers, request.stream())
    elif kind == "application/json" or kind.endswith("+json"):
        photos = await _of_json(request)
    elif kind.startswith("image/") or kind in ("", "application/octet-stream"):
        content = await request.body()
        photos = [Photo("photo", content)] if content else []
    else:
        raise WebError(415, f"{kind} holds no photo. {HOW}")
    if len(photos) < least:
        raise WebError(400, f"The request has too few photos: {len(photos)} of {least}. {HOW}", "no_photo")
    if len(photos) > most:
        raise WebError(400, f"The request has {len(photos)} photos, and {most} can be looked at.", "several_photos")
    if any(not photo.content for photo in photos):
        raise WebError(400, f"A photo is empty. {HOW}", "no_photo")
    return photos


class _InMemory(MultiPartParser):
    """Starlette's parser, which keeps no part of a photo on the disk."""

    spool_max_size = 1 << 30  # the whole body is bounded before


async def _of_form(headers: Headers, body: AsyncIterator[bytes]) -> list[Photo]:
    parser = _InMemory(headers, body, max_files=MOST_PHOTOS, max_fields=MOST_PHOTOS, max_part_size=TEXT_BYTES)  # type: ignore[arg-type]
    try:
        form = await parser.parse()
    except (MultiPartException, UnicodeError, ValueError) as error:
        raise WebError(400, f"The multipart body cannot be read: {getattr(error, 'message', 'it is malformed')}") from error
    found = []
    for name, part in form.multi_items():
        if isinstance(part, UploadFile):
            found.append(Photo(name, await part.read()))
            await part.close()
        elif name in NAMES:
            raise WebError(400, f"The field {name} is text and no file. {HOW}")
    return found


async def _of_json(request: Request) -> list[Photo]:
    body = await request.body()
    return await run_in_threadpool(photos_of_json, body) if len(body) > LARGE else photos_of_json(body)


def photos_of_json(body: bytes) -> list[Photo]:
    """Returns the photos of {"photo": BASE64}, {"photos": [BASE64, …]} or {"first": BASE64, "second": BASE64}. Raises WebError."""
    try:
        stated = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise WebError(400, "The body is no JSON.") from error
    if not isinstance(stated, dict):
        raise WebError(400, f"The JSON is no object. {HOW}")
    found: list[Photo] = []
    for name in NAMES:
        values = stated.get(name, [])
        found += [Photo(name, _decoded(name, value)) for value in (values if isinstance(values, list) else [values])]
    return found


def _decoded(name: str, value: Any) -> bytes:
    """The bytes of a base64 text, also where a browser wrote it as a data: URL. Raises WebError."""
    if not isinstance(value, str):
        raise WebError(400, f"`{name}` is no base64 text.")
    text = value.partition(",")[2] if value.startswith("data:") else value
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise WebError(400, f"`{name}` is no base64 text.") from error
