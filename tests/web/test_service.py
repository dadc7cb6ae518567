"""The web service without a server: its errors have one shape, and what other pages or floods send does not get in."""

import asyncio
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from starlette.types import Message

from face_assets.core.settings import Settings
from face_assets.web import try_page
from face_assets.web.app import create_app
from face_assets.web.bounds import Bounds
from face_assets.web.recognition import Face, Match, Recognition
from face_assets.web.recognizer import Recognizer
from tests.web.service import endpoint_of_nobody

APP = "https://app.example.org"


@pytest.fixture
def client(home: Path) -> Iterator[TestClient]:
    settings = Settings(max_request_mb=0.1, web_origins=(APP,))
    app = create_app(settings, Recognizer(endpoint_of_nobody))

    @app.post("/fault")
    def fault() -> None:
        raise KeyError("Ann")

    with TestClient(app, "http://localhost:8004", raise_server_exceptions=False) as made:
        yield made


def test_without_a_server_the_status_says_so(client: TestClient) -> None:
    found = client.get("/api/v1/status")
    assert found.status_code == 200
    assert found.json()["ready"] is False
    assert "face-assets up" in found.json()["why"]
    assert found.headers["content-security-policy"].startswith("default-src 'none'")
    assert found.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code"),
    [
        ("GET", "/api/v1/nothing", {}, 404, "not_found"),
        ("GET", "/people/", {}, 404, "not_found"),
        ("POST", "/api/v1/recognize/", {"host": "localhost"}, 404, "not_found"),
        ("POST", "/api/v1/status", {}, 405, "method_not_allowed"),
        ("GET", "/api/v1/status", {"host": "evil.example.org"}, 403, "foreign_origin"),
        ("GET", "/api/v1/status", {"host": "[::1"}, 403, "foreign_origin"),
        ("POST", "/fault", {"origin": "https://evil.example.org"}, 403, "foreign_origin"),
        ("POST", "/fault", {"origin": "null"}, 403, "foreign_origin"),
        ("POST", "/fault", {"sec-fetch-site": "cross-site"}, 403, "foreign_origin"),
        ("POST", "/fault", {"origin": "http://localhost:8005"}, 403, "foreign_origin"),
        ("POST", "/fault", {"origin": "http://localhost:8004"}, 500, "fault"),
        ("POST", "/fault", {"origin": APP}, 500, "fault"),
        ("POST", "/fault", {}, 500, "fault"),
        ("GET", "/docs/index.html", {}, 404, "not_found"),
    ],
)
def test_every_error_has_one_shape(client: TestClient, method: str, path: str, headers: Mapping[str, str], status: int, code: str) -> None:
    found = client.request(method, path, headers=dict(headers))
    assert (found.status_code, found.json()["code"]) == (status, code)
    assert set(found.json()) == {"error", "code"}
    assert "Ann" not in found.text


def test_too_long_a_body_is_refused(client: TestClient) -> None:
    found = client.post("/fault", content=b"x" * 1_000_000)
    assert (found.status_code, found.json()["code"]) == (413, "too_large")


def test_pages_of_named_origins_alone_may_read(client: TestClient) -> None:
    ask = {"access-control-request-method": "POST", "access-control-request-headers": "x-api-key"}
    assert client.options("/fault", headers={"origin": APP, **ask}).headers["access-control-allow-origin"] == APP
    refused = client.options("/fault", headers={"origin": "https://evil.example.org", **ask})
    assert "access-control-allow-origin" not in refused.headers


@pytest.mark.parametrize("origin", ["*", "app.example.org", "https://app.example.org/page", "https://", "ftp://app.example.org"])
def test_what_is_no_origin_is_refused(home: Path, origin: str) -> None:
    with pytest.raises(ValueError, match="must be origins"):
        Settings(web_origins=(origin,))


def test_the_api_is_documented_without_a_network(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert "Problem" in document["components"]["schemas"]
    assert "HTTPValidationError" not in document["components"]["schemas"]
    page = client.get("/docs")
    assert "http" not in page.text
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "start.js"):
        assert f"docs/{name}" in page.text
        assert client.get(f"/docs/{name}").status_code == 200


def test_a_name_is_text_on_a_page_and_no_script() -> None:
    name = "<script>alert('Ann')</script>"
    match = Match(accepted=True, name=name, why="accepted", score=0.9, stranger_rate=0.002, nearest=[], embedding=None)
    face = Face(box=(0, 0, 9, 9), landmarks=None, probability=0.99, quality=61.0, match=match)
    found = Recognition(release="v1.0.0", time="now", threshold=0.5, faces=[face])
    output = io.BytesIO()
    Image.new("RGB", (9, 9)).save(output, "PNG")
    text = try_page.answer_page(found, output.getvalue(), 7).body.decode()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text
    assert "1 in 500" in text


def post(app: Any, parts: list[bytes], headers: list[tuple[bytes, bytes]]) -> list[Message]:
    """The messages that an ASGI application sends for a body in parts."""
    sent: list[Message] = []
    waiting = [{"type": "http.request", "body": part, "more_body": number < len(parts) - 1} for number, part in enumerate(parts)]

    async def receive() -> Message:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive, send))
    assert not waiting, "the whole body is read, whatever the response is"
    return sent


async def deaf(_scope: Any, _receive: Any, send: Callable[[Message], Any]) -> None:
    """Responds without reading the body."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"no"})


def test_a_response_is_whole_before_the_rest_of_the_body_is_dropped() -> None:
    sent = post(Bounds(deaf, 1000), [b"x"] * 50, [(b"content-length", b"50")])
    assert [message.get("body") for message in sent] == [None, b"no", b""]


def test_a_flood_is_refused_and_leaves_no_trace() -> None:
    bounds = Bounds(deaf, 1000, requests=0)
    for _ in range(3):
        assert post(bounds, [b"x"] * 50, [(b"content-length", b"50")])[0]["status"] == 503
    bounds = Bounds(deaf, 1000, requests=1)
    for _ in range(3):
        assert post(bounds, [b"x"] * 50, [(b"transfer-encoding", b"chunked")])[0]["status"] == 200


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async def reader(scope: Any, receive: Any, send: Any) -> None:
        await receive()

    async def silent() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def ask() -> None:
        await Bounds(reader, 1000, seconds=0.0)({"type": "http", "method": "POST", "headers": []}, silent, None)

    with pytest.raises(Exception, match="did not come within 0 s"):
        asyncio.run(ask())
