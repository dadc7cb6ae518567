"""Traces: the person's name in every form, nobody else's, and the md5s wherever they stand."""

import io
import json
import sqlite3
import zipfile
from pathlib import Path

import numpy as np
import pytest

from face_assets.erasure.files import count_traces, erase_entries, is_store, redact_database, redact_file
from face_assets.erasure.traces import Traces
from face_assets.storage.content_store import ContentStore, Entry

MD5 = "0123456789abcdef0123456789abcdef"
OTHER = "f" * 32
ZOE = Traces(frozenset({"Zoë Müller"}), frozenset({MD5}), frozenset({"Zoë Müller Junior", "Ann"}))


@pytest.mark.parametrize(
    "text",
    [
        "Zoë Müller",
        "photos/Zoë Müller/1.jpg",
        "photos/Zoë Müller_0001.jpg",
        "zoë_müller_2.jpg",
        "zoë müller",
        "ZOË MÜLLER",
        "Zoe\u0308 Mu\u0308ller",
        json.dumps("Enrol\nZoë Müller: 2"),
        json.dumps(json.dumps("Zoë Müller")),
        "DELETE /api/v1/people/Zo%C3%AB%20M%C3%BCller",
        "Zo%C3%AB+M%C3%BCller",
        f"key {MD5}~degraded-2",
        f"files/md5/01/{MD5[2:]}",
        f"aa{MD5}bb",
    ],
)
def test_a_trace_is_found_in_every_form_and_replaced(text: str) -> None:
    assert ZOE.count(text.encode()) == 1
    redacted = ZOE.redacted_text(text, "person-1")
    assert ZOE.count(redacted.encode()) == 0
    assert "person-1" in redacted


@pytest.mark.parametrize("text", ["Zoë Müller Junior", "Zoë Müllers", "AZoë Müller", "Zoë", f"{OTHER}{OTHER}", MD5[:31], MD5[2:31]])
def test_nobody_else_is_taken_for_the_person(text: str) -> None:
    assert ZOE.count(text.encode()) == 0
    assert ZOE.redacted_text(text, "person-1") == text


@pytest.mark.parametrize(("name", "text"), [("status", '{"status": 3}'), ("12", "12 of 12 photos"), ("Al", "Al gorithm, Alp")])
def test_a_name_that_is_any_word_does_not_spoil_texts(name: str, text: str) -> None:
    plain = Traces(frozenset({name}), frozenset())
    assert plain.count(b"photos/%s/1.jpg" % name.encode()) == 1
    assert plain.count(b"photos/%s_0001.jpg" % name.encode()) == 1
    if name != "status":
        assert plain.redacted_text(text, "person-1") == text


def test_json_stays_json_and_keeps_its_classes() -> None:
    ann = Traces(frozenset({"Event Log"}), frozenset({MD5}))
    text = json.dumps({"__class__": "Event Log", "message": "of Event Log", "rows": [{"md5": MD5}], "Event Log": 1})
    redacted = json.loads(ann.redacted_text(text, "person-1"))
    assert redacted == {"__class__": "Event Log", "message": "of person-1", "rows": [{"md5": "person-1"}], "person-1": 1}


def test_traces_in_arrays_and_archives_are_found(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "packed.npz", names=np.array(["Ann", "Zoë Müller"]))
    np.savez(tmp_path / "plain.npz", names=np.array(["Ann", "Zoë Müller Junior"]))
    with zipfile.ZipFile(tmp_path / "one.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("text", f"a {MD5} b")
    assert count_traces(tmp_path / "packed.npz", ZOE) == 1
    assert count_traces(tmp_path / "plain.npz", ZOE) == 0
    assert count_traces(tmp_path / "one.zip", ZOE) == 1


def test_a_trace_on_a_seam_of_a_large_file_is_found_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("face_assets.erasure.files.CHUNK", 100)
    monkeypatch.setattr("face_assets.erasure.files.OVERLAP", 50)
    for shift in range(0, 120, 7):
        (tmp_path / "file").write_bytes(b"-" * shift + f" {MD5} ".encode() + b"-" * 300)
        assert count_traces(tmp_path / "file", ZOE) == 1, shift


def test_a_store_loses_the_persons_entries_with_their_bytes(tmp_path: Path) -> None:
    store, face = ContentStore(tmp_path / "crops.sqlite"), b"a face of Zoe" * 3000
    keys = [MD5, f"{MD5}.1", f"{MD5}~2", f"{MD5} shrunk-48"]
    store.put([*(Entry(key, {}, face) for key in keys), Entry(OTHER, {"box": [1]}, b"another face" * 3000)])
    earlier = Entry(f"{MD5}.9", {}, b"an earlier face" * 3000)
    store.put([earlier])
    store.drop([earlier.key])  # SQLite keeps its bytes
    assert is_store(store.path)
    assert erase_entries(store.path, ZOE) == len(keys)
    content = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"a face of Zoe" not in content and b"an earlier face" not in content and MD5.encode() not in content
    assert [entry.blob for entry in store.entries([OTHER, *keys])] == [b"another face" * 3000]


def test_a_database_and_a_log_keep_all_but_the_name(tmp_path: Path) -> None:
    database = tmp_path / "runs.db"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE events (id INTEGER PRIMARY KEY, body TEXT, raw BLOB)")
        connection.execute("INSERT INTO events (body, raw) VALUES (?, ?)", (json.dumps({"said": "Enrol Zoë Müller"}), MD5.encode()))
        connection.execute("INSERT INTO events (body) VALUES ('Ann')")
        shown = json.dumps({"md_str": "![sample](data:image/jpeg;base64,/9j+AbC=) ![roc](data:image/png;base64,iVBO)"})
        connection.execute("INSERT INTO events (body) VALUES (?)", (shown,))
    connection.close()
    assert redact_database(database, ZOE, "person-1") == 3
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT body, raw FROM events ORDER BY id").fetchall()
    connection.close()
    assert rows == [('{"said": "Enrol person-1"}', b"person-1"), ("Ann", None), (shown.replace("image/jpeg;base64,/9j+AbC=", ","), None)]
    assert count_traces(database, ZOE) == 0
    log = tmp_path / "a.log"
    log.write_text("one\nEnrol Zoë Müller: 2 photos of a long line\n")
    log.chmod(0o600)
    with open(log, "a") as writer:
        assert redact_file(log, ZOE, "p")
        writer.write("and on\n")
    assert log.read_text() == "one\nEnrol p: 2 photos of a long line\nand on\n"
    linked, other = tmp_path / "linked", tmp_path / "object-by-content"
    linked.write_text("Zoë Müller")
    other.hardlink_to(linked)
    assert redact_file(linked, ZOE, "p")
    assert (linked.read_text(), other.read_text()) == ("p", "Zoë Müller")
    (tmp_path / "binary").write_bytes(io.BytesIO(b"\0Zo\xc3\xab M\xc3\xbcller").getvalue())
    assert not redact_file(tmp_path / "binary", ZOE, "p")
