"""Bodies that nobody thinks of: each becomes photos or an error that names what is wrong, and the photos are those that were sent."""

import asyncio
import base64
import json
from typing import Any

import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from face_assets.serving.runtime.photos_of_person import MOST_PHOTOS
from face_assets.web.photos import Photo, read_photos
from face_assets.web.problems import WebError

KINDS = (
    "multipart/form-data; boundary=b",
    "application/json",
    "image/jpeg",
    "",
    "text/html",
    "multipart/form-data",
    "é",
    "image/jpeg; a=;",
)
JSON = st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)
NAMED = st.dictionaries(st.sampled_from(("photo", "photos", "first", "x")), JSON)


def read(body: bytes, kind: str, step: int = 1000) -> list[Photo]:
    parts = [body[start : start + step] for start in range(0, len(body), step)] or [b""]
    waiting: list[Message] = [
        {"type": "http.request", "body": part, "more_body": number < len(parts) - 1} for number, part in enumerate(parts)
    ]

    async def receive() -> Message:
        return waiting.pop(0)

    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-type", kind.encode())]}
    return asyncio.run(read_photos(Request(scope, receive), most=MOST_PHOTOS))


def form(*parts: tuple[str, bytes]) -> bytes:
    made = b"".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="f"\r\n\r\n'.encode() + content + b"\r\n"
        for name, content in parts
    )
    return made + b"--b--\r\n"


@given(st.binary(max_size=300), st.sampled_from(KINDS), st.integers(1, 50))
def test_random_bytes_are_photos_or_an_error(body: bytes, kind: str, step: int) -> None:
    try:
        assert all(photo.content for photo in read(body, kind, step))
    except WebError as error:
        assert 400 <= error.status < 500


@given(NAMED)
def test_random_json_is_photos_or_an_error(stated: Any) -> None:
    try:
        read(json.dumps(stated).encode(), "application/json")
    except WebError as error:
        assert error.status == 400


@given(st.binary(max_size=200), st.integers(0, 300), st.integers(1, 40))
def test_a_form_cut_short_is_no_photo(content: bytes, length: int, step: int) -> None:
    body = form(("photo", content))
    if length < len(body) - 8:  # from there on the last boundary is there
        with pytest.raises(WebError):
            read(body[:length], KINDS[0], step)


@given(st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=4), st.integers(1, 60))
def test_photos_come_as_they_were_sent(contents: list[bytes], step: int) -> None:
    sent = [content for content in contents if b"--b" not in content] or [b"x"]
    assert [photo.content for photo in read(form(*(("photo", content) for content in sent)), KINDS[0], step)] == sent
    encoded = {"photos": [base64.b64encode(content).decode() for content in sent]}
    assert [photo.content for photo in read(json.dumps(encoded).encode(), "application/json")] == sent
    assert read(sent[0], "image/jpeg", step) == [Photo("photo", sent[0])]
