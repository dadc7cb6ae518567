"""Keys of the gateway: rights, limits, rotation, and the files of earlier versions."""

import json
import time
from pathlib import Path

import pytest

from face_assets.core.errors import UserError
from face_assets.serving.containers.haproxy import parse_uses
from face_assets.serving.containers.keys import OWN, Keys, Uses, digest
from face_assets.serving.runtime.embedding_right import HEADER, TOKEN, may_receive_embeddings, own_parameters


def test_a_key_has_the_rights_that_it_was_given(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    keys.add("camera")
    keys.add("lab", ["people", "embeddings"], 5)
    keys.own()
    camera, lab, own = keys.all()
    assert (camera.record(), lab.record()) == (",identify,::", ",embeddings,people,:5:")
    assert own.record() == ",identify,embeddings,people,operate,::"
    keys.change("camera", ["operate"], None)
    keys.change("lab", None, 0)
    assert [key.record() for key in keys.all()[:2]] == [",operate,::", ",embeddings,people,:0:"]
    for wrong in (["fly"], []):
        with pytest.raises(UserError, match="identify, embeddings, people, operate"):
            keys.add("new", wrong)
    with pytest.raises(UserError, match="no key named nobody"):
        keys.change("nobody", None, 1)
    assert json.loads(keys.file.read_text())[0]["rights"] == ["operate"]


def test_a_key_of_an_earlier_version_may_what_it_could(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    keys.file.write_text(json.dumps([{"name": "old", "digest": digest("fa_old"), "created": "2026-01-01T00:00:00Z"}]))
    (old,) = keys.all()
    assert old.allowed() == {"identify", "embeddings"}
    keys.rotate("old", 60)
    assert {key.allowed() for key in keys.all()} == {old.allowed()}


def test_both_keys_are_valid_until_the_overlap_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    keys = Keys(tmp_path)
    first = keys.add("entrance", ["identify"], 3)
    second = keys.rotate("entrance", 600)
    assert [(key.digest, key.until) for key in keys.all()] == [(digest(first), 1600), (digest(second), None)]
    third = keys.rotate("entrance", 3600)
    assert [key.until for key in keys.all()] == [1600, 4600, None], "a second rotation prolongs nothing"
    assert f"{digest(second)} ,identify,:3:4600\n" in keys.records()
    now[0] = 1600.0
    assert [key.digest for key in keys.all()] == [digest(second), digest(third)]
    assert digest(first) not in keys.records() + keys.names()
    keys.revoke("entrance")
    assert keys.all() == []
    with pytest.raises(UserError, match="no key named entrance"):
        keys.rotate("entrance", 0)


def test_the_last_use_outlives_the_gateways_memory(tmp_path: Path) -> None:
    table = "# table: rates, type: string, size:10240, used:3\n"
    for number, name in enumerate((f"{OWN}|http", "a.b|http", "a.b|grpc", "new|http")):
        table += f"0x7f: key={name} use=0 exp=207 gpt0={number} http_req_rate(10000)=1\n"
    found = parse_uses(table)
    assert found == {OWN: 0, "a.b": 2, "new": 3}
    uses = Uses(tmp_path)
    assert uses.add(found) == found
    assert uses.add({"a.b": 1, "other": 9}) == Uses(tmp_path).all() == {**found, "other": 9}


def test_embeddings_are_for_requests_with_the_servers_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN, raising=False)
    assert may_receive_embeddings("{}"), "a server without a gateway"
    assert own_parameters() == {}
    monkeypatch.setenv(TOKEN, "secret")
    assert own_parameters() == {HEADER: "secret"}
    assert may_receive_embeddings(json.dumps({HEADER: "secret", "more": 1}))
    for wrong in ({}, {HEADER: ""}, {HEADER: True}, {HEADER: ["secret"]}, {HEADER: "Secret"}, {"other": "secret"}):
        assert not may_receive_embeddings(json.dumps(wrong))
    assert not may_receive_embeddings(f'{{"{HEADER}": "secret"')
