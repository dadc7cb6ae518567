"""Callers: the proxy states them with its secret, nobody else can, and rights decide what a key may do."""

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi import Request
from fastapi.testclient import TestClient

from face_assets.core.errors import UserError
from face_assets.core.settings import Settings
from face_assets.serving.rights import EMBEDDINGS, IDENTIFY, OPERATE, PEOPLE, RIGHTS, parse_rights, right_for, rights_text
from face_assets.web.app import create_app
from face_assets.web.caller import Caller, caller_of
from face_assets.web.recognizer import Endpoint, Recognizer
from tests.web.service import endpoint_of_nobody

SECRET = "of the proxies"


@pytest.fixture
def client(home: Path) -> Callable[..., TestClient]:
    def make(is_local: bool = True, embeddings: bool = False) -> TestClient:
        settings = Settings(web_embeddings=embeddings)
        app = create_app(settings, Recognizer(endpoint_of_nobody), token=SECRET, is_local=is_local)

        @app.post("/api/v1/caller")
        def told(request: Request) -> list[str]:
            caller = caller_of(request)
            return [caller.name, rights_text(caller.rights)]

        return TestClient(app, "http://localhost:8004", raise_server_exceptions=False)

    return make


class Connection:
    """A server that keeps the parameters of requests, and answers none."""

    def __init__(self) -> None:
        self.parameters: list[object] = []

    async def get_model_config(self, *_: object, **__: object) -> object:
        return SimpleNamespace(config=SimpleNamespace(parameters={"release": SimpleNamespace(string_value="v1.0.0")}, output=()))

    async def infer(self, *_: object, parameters: object = None, **__: object) -> object:
        self.parameters.append(parameters)
        raise TimeoutError


@pytest.mark.parametrize(
    ("token", "headers", "expected"),
    [
        ("of the server", True, {"face-assets-caller": "of the server entrance"}),
        ("of the server", False, None),
        ("", True, None),
    ],
)
def test_the_server_gets_the_name_that_a_proxy_states_for_its_record(
    home: Path, monkeypatch: pytest.MonkeyPatch, token: str, headers: bool, expected: object
) -> None:
    connection, recognizer = Connection(), Recognizer(endpoint_of_nobody)
    monkeypatch.setattr(recognizer, "_connection", (Endpoint("", {}, token), connection))
    client = TestClient(create_app(Settings(), recognizer, token=SECRET), "http://localhost:8004", raise_server_exceptions=False)
    photos = {"first": ("a.jpg", b"1"), "second": ("b.jpg", b"2")}
    assert client.post("/api/v1/verify", files=photos, headers=stated() if headers else {}).status_code == 503
    assert connection.parameters and all(stated == expected for stated in connection.parameters)


def stated(name: str = "entrance", rights: str = "identify", token: str = SECRET) -> dict[str, str]:
    return {"face-assets-proxy": token, "face-assets-caller": name, "face-assets-rights": rights, "host": "faces.example.org"}


def test_without_a_proxy_this_machines_user_may_everything_but_embeddings(
    client: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_COMMITTER_NAME", "Ann")
    monkeypatch.setenv("GIT_COMMITTER_EMAIL", "ann@example.org")
    assert client().post("/api/v1/caller").json() == ["Ann", "identify,people,operate"]
    assert client(embeddings=True).post("/api/v1/caller").json() == ["Ann", ",".join(RIGHTS)]
    forged = {"face-assets-caller": "Eve", "face-assets-rights": "embeddings"}
    assert client().post("/api/v1/caller", headers=forged).json() == ["Ann", "identify,people,operate"]


def test_the_proxy_states_the_caller_and_its_names_are_the_services(client: Callable[..., TestClient]) -> None:
    found = client(is_local=False).post("/api/v1/caller", headers=stated(rights="operate,people,fly"))
    assert found.json() == ["entrance", "people,operate"]
    assert Caller("entrance", frozenset()).person().name == "entrance"


@pytest.mark.parametrize(
    "headers",
    [{}, stated(token=""), stated(token="of nobody"), stated(token=SECRET + "x"), stated(name=""), {"face-assets-caller": "Eve"}],
)
def test_who_is_not_let_in_by_the_proxy_gets_401(client: Callable[..., TestClient], headers: Mapping[str, str]) -> None:
    for path in ("/", "/api/v1/status", "/api/v1/people", "/openapi.json", "/static/style.css"):
        found = client(is_local=False).get(path, headers={**headers, "host": "localhost"})
        assert (found.status_code, found.json()["code"]) == (401, "no_key"), path
    assert client(is_local=False).get("/api/v1/alive").status_code == 200


@pytest.mark.parametrize(("right", "path"), list(itertools.product(RIGHTS, ("recognize", "people", "caller", "status"))))
def test_a_key_may_what_its_rights_name(client: Callable[..., TestClient], right: str, path: str) -> None:
    needed = {"recognize": IDENTIFY, "people": PEOPLE, "caller": OPERATE, "status": None}[path]
    found = client(is_local=False).post(f"/api/v1/{path}", headers=stated(rights=right))
    if needed in (None, right):
        assert found.status_code != 403
    else:
        assert (found.status_code, found.json()["code"]) == (403, "no_right")
        assert f"`{needed}`" in found.json()["error"]


@pytest.mark.parametrize(
    ("path", "right"),
    [
        ("/api/v1/recognize", IDENTIFY),
        ("/api/v1/recognize/", OPERATE),
        ("/api/v1/recognition/recognize", IDENTIFY),
        ("/api/v1/recognition/embeddings/recognize", IDENTIFY),
        ("/api/v1/recognition/faces/5/verify", IDENTIFY),
        ("/api/v1/recognition/faces/5/img", PEOPLE),
        ("/api/v1/recognition/faces", PEOPLE),
        ("/api/v1/peoples", OPERATE),
        ("/api/v1/people/x/../../recognize", PEOPLE),
        ("/api/v1/static/fa_key/images/5", PEOPLE),
        ("/api/v1/recognize\n", OPERATE),
        ("/api/v1/reviews", OPERATE),
        ("/", OPERATE),
    ],
)
def test_what_no_rule_names_is_for_operators(path: str, right: str) -> None:
    assert right_for(path) == right


def test_embeddings_are_for_keys_with_the_right(client: Callable[..., TestClient]) -> None:
    web = client(is_local=False)
    refused = web.post("/api/v1/recognize?embeddings=true", headers=stated(rights="identify,people,operate"))
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert "entrance needs the right `embeddings`" in refused.json()["error"]
    assert web.post("/api/v1/recognize?embeddings=true", headers=stated(rights=f"identify,{EMBEDDINGS}")).status_code != 403


def test_rights_that_are_none_are_refused() -> None:
    for names in ((), ("identify", "fly")):
        with pytest.raises(UserError, match="identify, embeddings, people, operate"):
            parse_rights(names)
