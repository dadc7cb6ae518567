"""Erasures over HTTP: a plan first, then a run that goes on where it stopped, and the certificate; the name stands in no address."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from face_assets.core.files import write_json
from face_assets.core.settings import load_settings, remember
from face_assets.erasure import runs
from face_assets.erasure.journal import Journal
from face_assets.registry.erased import CERTIFICATE
from face_assets.storage.home import Home
from face_assets.web import erasures
from face_assets.web.app import create_app
from face_assets.web.recognizer import Recognizer
from tests.web.service import endpoint_of_nobody


@pytest.fixture
def client(home: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    remember(repo=str(repository))
    with TestClient(create_app(load_settings(), Recognizer(endpoint_of_nobody)), "http://localhost:8004") as made:
        yield made


def test_an_erasure_is_planned_confirmed_and_certified(client: TestClient, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = ["v1.0.0 still knows the person"]

    def run(_: Home, pseudonym: str) -> Any:
        journal = Journal.find(home, pseudonym)
        assert journal
        journal.end_step("heads", {})
        if reasons:
            return SimpleNamespace(reasons=[reasons.pop()])
        write_json(journal.folder / CERTIFICATE, {"pseudonym": pseudonym, "releases": []})
        journal.end()
        return SimpleNamespace(reasons=[])

    monkeypatch.setattr(runs, "run_erasure", run)
    plan = client.post("/api/v1/erasures", json={"name": "zoë müller"}).json()
    assert (plan["state"], plan["plan"]["names"], plan["plan"]["photos"]) == ("planned", ["Zoë Müller"], 2)
    assert not list(home.glob("erasures/*"))
    wanted = {"name": "Zoë Müller", "confirmed": True}
    begun = client.post("/api/v1/erasures", json=wanted)
    assert begun.status_code == 202 and "Zo" not in begun.json()["follow"]
    erasures._runs[begun.json()["pseudonym"]].result()
    stopped = client.get(begun.json()["follow"]).json()
    assert (stopped["state"], stopped["done"], stopped["reason"]) == ("stopped", ["heads"], "v1.0.0 still knows the person")
    assert client.post("/api/v1/erasures", json={"name": "Zoë Müller"}).json()["pseudonym"] == stopped["pseudonym"]
    again = client.post("/api/v1/erasures", json=wanted).json()
    assert again["pseudonym"] == stopped["pseudonym"]
    erasures._runs[again["pseudonym"]].result()
    former = client.app.state.people  # type: ignore[attr-defined]
    assert client.app.state.memory.empty_after_erasure() and client.app.state.people is not former  # type: ignore[attr-defined]
    assert not client.app.state.memory.empty_after_erasure()  # type: ignore[attr-defined]
    done = client.get(again["follow"]).json()
    assert (done["state"], done["certificate"]["pseudonym"]) == ("done", again["pseudonym"])
    assert client.get("/api/v1/erasures/person-000000000000").status_code == 404
    nobody = client.post("/api/v1/erasures", json={"name": "Nobody", "confirmed": True})
    assert nobody.status_code >= 400 and "Nothing of" in nobody.json()["error"]
    assert client.post("/api/v1/erasures", json={"name": "a/b"}).status_code == 409
