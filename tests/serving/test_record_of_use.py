"""The record of use: one line an answer under kill -9, a full disk and several writers; every change of the chain is found."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyrage
import pytest
from pydantic import ValidationError
from pyrage import x25519

from face_assets.cli.record import export_record, verify_record, verify_text
from face_assets.core.errors import UserError
from face_assets.core.settings import Settings, default_home
from face_assets.erasure.state import state_files
from face_assets.registry.workspace import Workspace
from face_assets.serving.record_of_use import export, lines_of, verify
from face_assets.serving.runtime.sealed_photos import SealedPhotos
from face_assets.serving.runtime.use_record import HEAD, NotRecordedError, Place, UseRecord, caller_of, read_head
from tests.small_disk import SmallDisk

NOON = datetime(2026, 5, 6, 12, tzinfo=UTC).timestamp()
DAY = 86_400.0
ANSWER = {"photos": 1, "faces": 1, "accepted": 1, "too_poor": 0}
ABOUT = {"release": "v1.2.3", "gallery": "a" * 64}


class Writer:
    """A record at a time of its own, and what it reports."""

    def __init__(self, folder: Path, required: bool = False):
        self.now, self.lost, self.events = NOON, 0, list[str]()
        self.record = UseRecord(folder, ABOUT, required, self._problem, self._lose, lambda: self.now)

    def _problem(self, event: str, **_: Any) -> None:
        self.events.append(event)

    def _lose(self, number: int) -> None:
        self.lost += number

    def answer(self, number: int = 1, caller: str | None = "till-1") -> None:
        for _ in range(number):
            self.record.write(ANSWER, caller)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "record"


@pytest.fixture
def writer(folder: Path) -> Iterator[Writer]:
    made = Writer(folder)
    yield made
    made.record.close()


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jsonl"))


def test_an_answer_leaves_when_by_whose_key_with_what_and_the_outcome_in_numbers(writer: Writer, folder: Path) -> None:
    writer.answer()
    writer.record.write({"error": "busy"}, None)
    first, second = (json.loads(line) for line in files(folder)[0].read_bytes().splitlines())
    assert first == {"number": 1, "time": "2026-05-06T12:00:00.000Z", **ABOUT, "caller": "till-1", **ANSWER, "before": "0" * 64}
    assert (second["number"], second["caller"], second["error"]) == (2, None, "busy")
    assert all(path.stat().st_mode & 0o077 == 0 for path in (*files(folder), folder / HEAD))
    assert not verify(folder, {}).problems


def test_many_callers_share_a_write_and_each_has_its_line(writer: Writer, folder: Path) -> None:
    threads = [threading.Thread(target=writer.answer, args=(20,)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report = verify(folder, {})
    assert (report.records, report.problems, writer.lost) == (320, 0, 0)


def test_several_processes_and_days_are_one_chain(writer: Writer, folder: Path) -> None:
    other = Writer(folder)
    for day in range(3):
        writer.now = other.now = NOON + day * DAY
        writer.answer(2)
        other.answer(1)
        writer.answer(1)
    other.now = NOON  # a clock that was set back
    other.answer(1)
    other.record.close()
    report = verify(folder, {"a page of paper": read_head(folder) or Place()})
    assert (report.records, report.problems, len(files(folder))) == (13, 0, 3)


def change(place: int, old: bytes, new: bytes) -> Callable[[list[bytes]], list[bytes]]:
    return lambda lines: [line.replace(old, new) if number == place else line for number, line in enumerate(lines)]


CHANGES: dict[str, tuple[Callable[[list[bytes]], list[bytes]], str]] = {
    "changed": (change(3, b'"accepted":1', b'"accepted":0'), "line 5: record 4 or this one was changed"),
    "changed first": (change(0, b"till-1", b"till-2"), "line 2: record 1 or this one was changed"),
    "changed last": (change(9, b'"accepted":1', b'"accepted":0'), "line 10: the file head has another hash of record 10: it was changed"),
    "removed": (lambda lines: [*lines[:4], *lines[5:]], "line 5: record 5 is missing before record 6"),
    "several removed": (lambda lines: [*lines[:4], *lines[7:]], "line 5: records 5 to 7 are missing before record 8"),
    "first removed": (lambda lines: lines[1:], "line 1: record 1 is missing before record 2"),
    "moved": (lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]], "line 4: record 3 stands where 5 was expected"),
    "copied": (lambda lines: [*lines[:3], lines[2], *lines[3:]], "line 4: record 3 stands where 4 was expected: it was moved or copied"),
    "end cut": (lambda lines: lines[:8], "The end is missing: by the file head there were 10 records, and the last one is 8"),
    "nothing left": (lambda lines: [], "The end is missing"),
    "no JSON": (change(5, b"{", b""), "line 6: this is no record, and 6 was expected"),
    "written anew": (
        lambda lines: [change(0, b'"number":5', b'"number":7')([line])[0] if n == 4 else line for n, line in enumerate(lines)],
        "line 5: records 5 to 6 are missing before record 7",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_the_chain_is_found(writer: Writer, folder: Path, name: str) -> None:
    writer.answer(10)
    writer.record.close()
    (file,) = files(folder)
    apply, sentence = CHANGES[name]
    file.write_bytes(b"".join(apply(file.read_bytes().splitlines(keepends=True))))
    report = verify(folder, {})
    assert report.problems and any(sentence in one for one in report.sentences), report.sentences


def test_an_end_cut_together_with_the_head_is_found_by_what_was_kept_elsewhere(writer: Writer, folder: Path) -> None:
    writer.answer(8)
    short, kept = read_head(folder), (folder / HEAD).read_bytes()
    writer.answer(2)
    writer.record.close()
    end = read_head(folder)
    (file,) = files(folder)
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:8]))
    (folder / HEAD).write_bytes(kept)
    assert not verify(folder, {}).problems and short and end
    assert verify(folder, {"the data repository": end}).sentences == [
        "The end is missing: by the data repository there were 10 records, and the last one is 8."
    ]
    (folder / HEAD).unlink()
    assert "The file head is missing" in verify(folder, {}).sentences[0]


def test_a_removed_end_stays_found_after_the_server_goes_on(folder: Path) -> None:
    first = Writer(folder)
    first.answer(5)
    first.record.close()
    (file,) = files(folder)
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:3]))
    second = Writer(folder)
    second.answer(1)
    second.record.close()
    assert second.events == ["record_of_use_is_broken"]
    assert "records 4 to 5 are missing before record 6" in verify(folder, {}).sentences[0]


def test_a_line_that_a_kill_left_unfinished_is_cut_off(folder: Path) -> None:
    first = Writer(folder)
    first.answer(3)
    first.record.close()
    with open(files(folder)[0], "ab") as file:
        file.write(b'{"number":4,"time":"20')
    assert verify(folder, {}).records == 3 and not verify(folder, {}).problems
    second = Writer(folder)
    second.now += DAY
    second.answer(1)
    second.record.close()
    report = verify(folder, {})
    assert (report.records, report.problems, second.events) == (4, 0, [])


KILLED = """
import sys, threading
from pathlib import Path
from face_assets.serving.runtime.use_record import UseRecord
record = UseRecord(Path(sys.argv[1]), {"release": "v1.2.3"}, True, print, print)
def answer(thread):
    number = 0
    while True:
        record.write({"photos": 1}, f"{thread}-{number}")
        sys.stdout.write(f"{thread}-{number}\\n")  # the answer
        sys.stdout.flush()
        number += 1
for thread in range(4):
    threading.Thread(target=answer, args=(thread,)).start()
"""


def test_every_answer_has_its_record_after_kill_9(folder: Path) -> None:
    answered: list[str] = []
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], stdout=subprocess.PIPE, text=True)
        assert process.stdout
        mine = [process.stdout.readline() for _ in range(100)]
        os.kill(process.pid, signal.SIGKILL)
        rest = process.stdout.read()
        process.wait()
        answered += [*mine, *rest.splitlines(keepends=True)]
    report = verify(folder, {})
    assert not report.problems, report.sentences
    recorded = [json.loads(line)["caller"] for file in files(folder) for line in file.read_bytes().splitlines()]
    whole = [line.rstrip("\n") for line in answered if line.endswith("\n")]
    assert len(whole) >= 300
    for caller in set(whole):
        assert recorded.count(caller) >= whole.count(caller), "an answer without a record"
    assert len(recorded) - len(whole) <= 3 * 4 * 2, "of an answer under way in each thread at most, and one cut off in the pipe"


def test_a_full_disk_rejects_or_is_counted_and_the_chain_says_how_many(tmp_path: Path) -> None:
    disk = SmallDisk(tmp_path / "disk", 2)
    try:
        folder = disk.folder / "record"
        strict, mild = Writer(folder, required=True), Writer(folder)
        strict.answer(3)
        disk.leave(0)
        page = 4096 // 200 + 2  # the file's last page takes some lines more
        with pytest.raises(NotRecordedError):
            strict.answer(page)
        mild.answer(5)
        assert strict.lost == 1 and mild.lost == 5 and strict.events == mild.events == ["use_not_recorded"], "logged once"
        before = verify(folder, {})
        assert not before.problems
        disk.clear()
        mild.answer(1)
        strict.answer(1)
        report = verify(folder, {})
        assert (report.problems, report.not_recorded) == (0, 6), report.sentences
        assert report.records == before.records + 4, "each writer states its gap"
        for one in (strict, mild):
            one.record.close()
    finally:
        disk.unmount()


def test_a_writer_that_is_closed_records_nothing_more(folder: Path) -> None:
    strict = Writer(folder, required=True)
    strict.record.close()
    with pytest.raises(NotRecordedError):
        strict.answer()
    assert strict.lost == 1 and not folder.exists()


@pytest.mark.parametrize(
    ("parameters", "caller"),
    [
        ('{"face-assets-caller": "secret till-1"}', "till-1"),
        ('{"face-assets-caller": "till-1"}', None),
        ('{"face-assets-caller": "wrong till-1"}', None),
        ('{"face-assets-caller": "secret till-1", "face-assets-caller": "forged"}', "till-1"),
        ('{"face-assets-caller": "forged", "face-assets-caller": "secret till-1"}', "till-1"),
        ('{"face-assets-caller": 7, "other": {"face-assets-caller": "secret x"}}', None),
        ("{}", None),
        ('["face-assets-caller"]', None),
        ('{"face-assets-caller"', None),
    ],
)
def test_the_callers_name_counts_with_the_platforms_token_alone(parameters: str, caller: str | None) -> None:
    assert caller_of(parameters, "secret") == caller
    assert caller_of(parameters, "") is None


def test_a_match_keeps_its_photo_for_the_private_key_alone_and_for_some_days(folder: Path) -> None:
    identity = x25519.Identity.generate()
    now = [NOON]
    library = Path(pyrage.__file__).parent
    photos = SealedPhotos(folder / "photos", str(identity.to_public()), 7, library, lambda: now[0])
    record = UseRecord(folder, ABOUT, True, lambda *_, **__: None, lambda _: None, lambda: now[0], photos)
    record.write_match(ANSWER, None, [b"a photo of Ann"], [{"name": "Ann", "score": 0.9}])
    record.write_match({**ANSWER, "accepted": 0}, None, [b"a photo of nobody"], [])
    first, second = (line.facts or {} for line in lines_of(folder))
    (kept,) = (folder / "photos").glob("*/*.age")
    assert (kept.name, kept.parent.name) == (f"{first['photo']}.age", "2026-05-06") and "photo" not in second
    assert not any(b"Ann" in file.read_bytes() for file in folder.rglob("*") if file.is_file())
    assert kept.stat().st_mode & 0o077 == 0
    with zipfile.ZipFile(io.BytesIO(pyrage.decrypt(kept.read_bytes(), [identity]))) as archive:
        assert archive.read("photo-1") == b"a photo of Ann"
        assert json.loads(archive.read("match.json")) == [{"name": "Ann", "score": 0.9}]
    assert not verify(folder, {}).problems
    kept.write_bytes(kept.read_bytes() + b"x")
    assert "the photo of record 1 was changed" in verify(folder, {}).sentences[0]

    for day, there in ((7, True), (8, False)):
        now[0] = NOON + day * DAY
        record.write_match(ANSWER, None, [b"another"], [{"name": "Bob", "score": 0.9}])
        assert kept.exists() == there
    record.close()
    assert not verify(folder, {}).problems, "a photo whose days are over is no gap"


def test_an_erasure_leaves_the_record_as_it_is(home: Path) -> None:
    workspace = Workspace.load()
    mine = Writer(workspace.home.record)
    mine.answer(2, caller="Ann Other")
    mine.record.close()
    other = workspace.home.root / "logs" / "Ann Other.txt"
    other.parent.mkdir(parents=True, exist_ok=True)
    other.write_text("Ann Other")
    assert other in set(state_files(workspace)) and not [file for file in state_files(workspace) if "record" in file.parts]


@pytest.mark.parametrize("required", [True, False])
def test_a_photo_that_cannot_be_kept_rejects_or_is_stated(folder: Path, required: bool) -> None:
    (folder / "photos").parent.mkdir()
    (folder / "photos").write_text("in the way")
    events: list[str] = []
    photos = SealedPhotos(folder / "photos", str(x25519.Identity.generate().to_public()), 7, Path(pyrage.__file__).parent)
    record = UseRecord(folder, ABOUT, required, lambda event, **_: events.append(event), lambda _: None, photos=photos)
    with pytest.raises(NotRecordedError) if required else nullcontext():
        record.write_match(ANSWER, None, [b"a photo"], [{"name": "Ann", "score": 0.9}])
        record.write_match(ANSWER, None, [b"a photo"], [{"name": "Ann", "score": 0.9}])
    record.close()
    assert events == ["photo_not_kept"], "logged once"
    assert [(line.facts or {})["photo"] for line in lines_of(folder)] == ([] if required else ["not kept"] * 2)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"record": "on", "record_photos_to": "age1wrong"}, "must be a public key of age"),
        ({"record": "on", "record_photos_to": str(x25519.Identity.generate())}, "must be a public key of age"),
        ({"record_photos_to": str(x25519.Identity.generate().to_public())}, "record of use, which is off"),
        ({"record": "on", "target": "docker"}, "the docker target keeps no record of use yet"),
    ],
)
def test_settings_of_the_record_that_cannot_hold_are_errors(home: Path, values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        Settings(**values)


def test_a_period_is_exported_as_a_table_or_as_its_lines(writer: Writer, folder: Path) -> None:
    for day in range(3):
        writer.now = NOON + day * DAY
        writer.answer(2, caller="=till")
    output = io.StringIO()
    assert export(folder, date(2026, 5, 7), date(2026, 5, 7), "csv", output) == 2
    head, first, _ = output.getvalue().splitlines()
    assert head.startswith("number,time,caller,release,gallery,photos,faces,accepted,too_poor,photo,error")
    assert first.startswith("3,2026-05-07T12:00:00.000Z,'=till,v1.2.3,")
    output = io.StringIO()
    assert export(folder, None, date(2026, 5, 7), "jsonl", output) == 4
    assert output.getvalue().encode() == b"".join(file.read_bytes() for file in files(folder)[:2])


def test_the_command_verifies_this_machines_record(home: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no record of use"):
        verify_record(None)
    mine = Writer(default_home() / "serving" / "record")
    mine.answer(3)
    report = verify_record(None)
    assert report["whole"] and verify_text(report)[0].startswith("3 records from 2026-05-06T12:00:00.000Z to")
    mine.answer(2)
    mine.record.close()
    assert verify_record(report["end"])["whole"], "an earlier end is still in the chain"
    (file,) = files(default_home() / "serving" / "record")
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:2]))
    broken = verify_record(report["end"])
    assert not broken["whole"] and "what was kept elsewhere and the file head" not in str(broken["sentences"])
    assert len(broken["sentences"]) == 2
    with pytest.raises(UserError, match="is no NUMBER:HASH"):
        verify_record("3")
    assert export_record(None, None, "jsonl", tmp_path / "out.jsonl") == 2
    with pytest.raises(UserError, match="is there already"):
        export_record(None, None, "jsonl", tmp_path / "out.jsonl")
