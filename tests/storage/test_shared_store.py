"""A store that two machines share: each thing is made once; faults, kills and lies cost a warning, and nothing is lost or half there."""

import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from face_assets.core.errors import UnreachableError
from face_assets.storage import folder_store, row_parts, shared_rows, store_errors
from face_assets.storage.artifacts import Artifact
from face_assets.storage.content_store import ContentStore, Entry
from face_assets.storage.folder_store import Folder
from face_assets.storage.home import Home
from face_assets.storage.row_parts import DamagedPartError, part_bytes, read_all, read_index
from face_assets.storage.shared_rows import SharedContentStore
from face_assets.storage.store_errors import StoreError
from face_assets.storage.store_upkeep import StorePruned, erase_person, prune_store, rows_of
from tests.small_disk import SmallDisk


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(store_errors, "SECONDS_OF_REST", 0.0)
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


@pytest.fixture
def machine(tmp_path: Path, store: Path) -> Callable[[str], Home]:
    return lambda name: Home(tmp_path / name, str(store))


def md5(number: int) -> str:
    return hashlib.md5(str(number).encode()).hexdigest()


def rows(*numbers: int) -> list[Entry]:
    return [Entry(md5(number), {"n": number}, bytes([number % 256]) * 3000) for number in numbers]


def files(folder: Path, suffix: str = "") -> list[Path]:
    return sorted(path for path in folder.rglob(f"*{suffix}") if path.is_file())


def fill(content: bytes) -> Callable[[Path], dict[str, Any]]:
    def filled(directory: Path) -> dict[str, Any]:
        (directory / "folder").mkdir()
        (directory / "folder" / "weights").write_bytes(content)
        return {"by": content.decode()}

    return filled


def never(directory: Path) -> dict[str, Any]:
    raise AssertionError("made twice")


def test_an_artifact_of_one_machine_is_that_of_the_other(machine: Callable[[str], Home], store: Path) -> None:
    ours, theirs = machine("a").artifacts, machine("b").artifacts
    made = ours.make("kind", "name", fill(b"a"))
    found = theirs.make("kind", "name", never)
    assert (made.reused, found.reused, found.summary) == (False, True, made.summary)
    assert found.directory.is_relative_to(theirs.root)
    assert (found.directory / "folder" / "weights").read_bytes() == b"a"
    assert not [file for file in files(store) if str(ours.root.parent).encode() in file.read_bytes()]
    reference = found.to_json(theirs.root.parent)
    assert reference["directory"] == "artifacts/kind/name"
    assert Artifact.from_json(reference, theirs.root.parent) == found
    moved = {**reference, "directory": "/srv/releases/old home/artifacts/kind/name"}  # as earlier versions wrote it
    assert Artifact.from_json(moved, theirs.root.parent) == found


def test_the_same_bytes_are_stored_once(machine: Callable[[str], Home], store: Path) -> None:
    ours = machine("a").artifacts
    for name in ("one", "two"):
        ours.make("kind", name, fill(b"the same trunk"))
    assert sum(file.read_bytes() == b"the same trunk" for file in files(store / "objects")) == 1


def test_of_two_machines_that_make_the_same_at_once_both_go_on_with_that_of_the_first(machine: Callable[[str], Home]) -> None:
    def slow(directory: Path) -> dict[str, Any]:
        machine("b").artifacts.make("kind", "name", fill(b"b"))
        return fill(b"a")(directory)

    made = machine("a").artifacts.make("kind", "name", slow)
    assert (made.summary["by"], (made.directory / "folder" / "weights").read_bytes()) == ("b", b"b")
    assert not list(made.directory.parent.glob(".partial-*"))


def test_what_was_made_without_a_store_is_added_at_its_first_use(machine: Callable[[str], Home], tmp_path: Path) -> None:
    before = Home(tmp_path / "a")
    before.artifacts.make("kind", "name", fill(b"a"))
    before.crops("detector").put(rows(1, 2))
    after = machine("a")
    after.artifacts.make("kind", "name", never)
    after.crops("detector").publish()
    assert machine("b").artifacts.make("kind", "name", never).summary["by"] == "a"
    assert machine("b").crops("detector").missing([md5(1), md5(2), md5(3)]) == [md5(3)]


@pytest.mark.parametrize("lie", ["other bytes", "gone", "half a list"])
def test_an_artifact_that_lies_is_made_again_and_takes_its_place(machine: Callable[[str], Home], store: Path, lie: str) -> None:
    machine("a").artifacts.make("kind", "name", fill(b"the truth"))
    (weights,) = [file for file in files(store / "objects") if file.read_bytes() == b"the truth"]
    if lie == "other bytes":
        weights.write_bytes(b"the lies!")
    elif lie == "gone":
        weights.unlink()
    else:
        (store / "artifacts" / "kind" / "name.json").write_text('{"files": ')
    assert not machine("b").artifacts.make("kind", "name", fill(b"the truth")).reused
    assert machine("c").artifacts.make("kind", "name", never).summary["by"] == "the truth"


def test_a_list_of_files_cannot_name_one_elsewhere(machine: Callable[[str], Home], store: Path, tmp_path: Path) -> None:
    made = machine("a").artifacts.make("kind", "name", fill(b"a"))
    list_of_files = store / "artifacts" / "kind" / "name.json"
    text = list_of_files.read_text().replace("folder/weights", "../../../../outside")
    list_of_files.write_text(text)
    assert not machine("b").artifacts.make("kind", "name", fill(b"b")).reused
    assert made.directory.is_dir()
    assert not list(tmp_path.rglob("outside"))


def test_a_deleted_artifact_to_which_a_commit_refers_is_fetched(machine: Callable[[str], Home], tmp_path: Path) -> None:
    made = machine("a").artifacts.make("kind", "name", fill(b"a"))
    for file in files(made.directory):
        file.unlink()
    (made.directory / "folder").rmdir()
    made.directory.rmdir()
    assert not Home(tmp_path / "a").artifacts.restore(made)
    assert machine("a").artifacts.restore(made)
    assert (made.directory / "folder" / "weights").read_bytes() == b"a"


def test_rows_of_one_machine_count_as_there_on_the_other_and_are_fetched_when_they_are_read(machine: Callable[[str], Home]) -> None:
    ours, theirs = machine("a").crops("detector"), machine("b").crops("detector")
    ours.put([*rows(*range(4000)), Entry(md5(4000), {"status": "no_face"})])
    ours.publish()
    assert theirs.missing([md5(number) for number in range(4002)]) == [md5(4001)]
    assert theirs.facts([md5(7), md5(4000)]) == {md5(7): {"n": 7}, md5(4000): {"status": "no_face"}}
    assert sorted(dict(theirs.each_fact(md5(number) for number in range(4002)))) == sorted(map(md5, range(4001))), "each once"
    local = ContentStore(theirs.path)
    assert local.facts([md5(7)]) == {}
    assert {entry.key: entry for entry in theirs.entries([md5(3999), md5(7), md5(4000)])} == {
        entry.key: entry for entry in [*rows(7, 3999), Entry(md5(4000), {"status": "no_face"})]
    }
    assert local.facts([md5(7)]) == {md5(7): {"n": 7}}, "fetched once"


def test_two_machines_that_made_the_same_rows_do_not_disturb_each_other(machine: Callable[[str], Home], store: Path) -> None:
    ours, theirs = machine("a").crops("detector"), machine("b").crops("detector")
    assert theirs.missing([md5(1)]) == [md5(1)]
    for one in (ours, theirs):
        one.put(rows(1, 2))
        one.publish()
        one.publish()
    assert len(files(store / "rows", ".parquet")) == 1, "the second had nothing to add"
    assert {entry.key for entry in machine("c").crops("detector").entries([md5(1), md5(2)])} == {md5(1), md5(2)}


def test_rows_that_are_dropped_are_made_anew_and_do_not_return(machine: Callable[[str], Home]) -> None:
    machine("a").crops("detector").put([Entry(md5(1), {"status": "unusable"})])
    machine("a").crops("detector").publish()
    theirs = machine("b").crops("detector")
    assert theirs.facts([md5(1)]) == {md5(1): {"status": "unusable"}}
    theirs.drop([md5(1)])
    assert theirs.missing([md5(1)]) == [md5(1)]
    theirs.put([Entry(md5(1), {"status": "face"}, b"crop")])
    theirs.publish()
    assert machine("b").crops("detector").facts([md5(1)]) == {md5(1): {"status": "face"}}


def test_a_store_that_is_down_costs_a_warning_and_gets_everything_later(
    machine: Callable[[str], Home], store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store.rename(store.with_name("elsewhere"))
    ours = machine("a")
    made = ours.artifacts.make("kind", "name", fill(b"a"))
    crops = ours.crops("detector")
    assert crops.missing([md5(1)]) == [md5(1)]
    crops.put(rows(1))
    crops.publish()
    assert "the folder is not there: mount it" in caplog.text
    assert "is added to it later" in caplog.text
    assert not store.exists(), "nothing is written below a mount that is away"
    store.with_name("elsewhere").rename(store)
    assert ours.artifacts.make("kind", "name", never).fingerprint == made.fingerprint
    machine("a").crops("detector").publish()
    assert machine("b").artifacts.make("kind", "name", never).summary["by"] == "a"
    assert machine("b").crops("detector").missing([md5(1)]) == []


def test_a_store_that_may_not_be_written_or_is_full_is_still_read(
    machine: Callable[[str], Home], store: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    machine("a").artifacts.make("kind", "name", fill(b"a"))
    machine("a").crops("detector").put(rows(1))
    machine("a").crops("detector").publish()
    for number, words in ((13, "may not do that there"), (30, "read-only"), (28, "it is full")):

        def refuse(*_: object, number: int = number) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(folder_store, "write_bytes", refuse)
        monkeypatch.setattr(folder_store, "_copy", refuse) if number != 13 else None
        theirs = machine(f"b{number}")
        assert theirs.crops("detector").missing([md5(1), md5(2)]) == [md5(2)]
        theirs.artifacts.make("kind", f"new {number}", fill(b"b"))
        theirs.crops("detector").put(rows(2))
        theirs.crops("detector").publish()
        assert words in caplog.text
        monkeypatch.undo()
        monkeypatch.setattr(store_errors, "SECONDS_OF_REST", 0.0)


def test_a_store_that_failed_is_left_alone_for_a_while(
    machine: Callable[[str], Home], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_errors, "SECONDS_OF_REST", 60.0)
    store.rename(store.with_name("elsewhere"))
    with pytest.raises(StoreError, match="the folder is not there"):
        Folder(str(store)).listed("rows")
    store.with_name("elsewhere").rename(store)
    with pytest.raises(StoreError, match="the folder is not there"):
        Folder(str(store)).listed("rows")
    monkeypatch.setattr(store_errors, "_failures", store_errors._Failures())
    assert Folder(str(store)).listed("rows") == []


def test_a_part_whose_bytes_changed_is_never_read_as_rows(machine: Callable[[str], Home], store: Path) -> None:
    machine("a").crops("detector").put(rows(*range(10)))
    machine("a").crops("detector").publish()
    theirs = machine("b").crops("detector")
    assert theirs.missing([md5(1)]) == []
    (part,) = files(store / "rows", ".parquet")
    content = bytearray(part.read_bytes())
    content[100] ^= 0x55
    part.write_bytes(content)
    with pytest.raises(UnreachableError, match=r"is damaged .*: run again; what it held is then made again"):
        list(theirs.entries([md5(1)]))
    again = machine("b").crops("detector")
    assert again.missing([md5(1)]) == [md5(1)]
    again.put(rows(1))
    again.publish()
    assert [entry.facts for entry in machine("b").crops("detector").entries([md5(1)])] == [{"n": 1}]
    part.write_bytes(content[: len(content) // 2])
    assert machine("c").crops("detector").missing([md5(1), md5(2)]) == [md5(2)], "half a part holds nothing, and the new one the row"


def test_a_changed_byte_of_a_part_is_noticed_or_changes_nothing() -> None:
    entries = [Entry(md5(number), {"n": number}, os.urandom(200) if number % 3 else None) for number in range(20)]
    content, noticed = part_bytes(entries), 0
    for place in range(0, len(content), 23):
        lying = bytearray(content)
        lying[place] ^= 1 << place % 8
        try:
            assert read_all(io.BytesIO(lying)) == entries
            assert [entry.key for _, group in read_index(io.BytesIO(lying)) for entry in group] == [entry.key for entry in entries]
        except DamagedPartError:
            noticed += 1
    assert noticed > len(content) / 23 * 0.8


def test_parts_have_a_size_and_a_long_computation_adds_them_on_its_way(
    machine: Callable[[str], Home], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_rows, "PART_BYTES", 50_000)
    ours = machine("a").crops("detector")
    for number in range(0, 100, 10):
        ours.put(rows(*range(number, number + 10)))
    assert len(files(store / "rows", ".parquet")) >= 4
    assert len(machine("b").crops("detector").missing([md5(number) for number in range(100)])) < 30
    ours.publish()
    assert machine("b").crops("detector").missing([md5(number) for number in range(100)]) == []


KILLED = """
import os, sys
from pathlib import Path
from face_assets.storage import folder_store
from face_assets.storage.content_store import Entry
from face_assets.storage.home import Home
calls = [int(sys.argv[3])]
def dies(before):
    def called(*args, **kwargs):
        calls[0] -= 1
        if calls[0] < 0:
            os.kill(os.getpid(), 9)
        return before(*args, **kwargs)
    return called
for name in ("write_bytes", "_copy"):
    setattr(folder_store, name, dies(getattr(folder_store, name)))
folder_store.os.link = dies(os.link)
folder_store.os.fsync = dies(os.fsync)
home = Home(Path(sys.argv[1]), sys.argv[2])
def fill(directory):
    for name in "abc":
        (directory / name).write_bytes(name.encode() * 100)
    return {"by": "the first"}
home.artifacts.make("kind", "name", fill)
home.crops("detector").put([Entry(f"{n:032x}", {"n": n}, bytes(3000)) for n in range(20)])
home.crops("detector").publish()
"""


@pytest.mark.parametrize("calls", [1, 4, 8, 12])
def test_a_publisher_killed_anywhere_leaves_nothing_half_and_is_run_again(
    machine: Callable[[str], Home], store: Path, tmp_path: Path, calls: int
) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "a"), str(store), str(calls)], check=False)
    assert killed.returncode == -9
    theirs = machine("b")
    found = theirs.artifacts._fetched("kind", "name")
    assert found is None or {file.name: file.read_bytes()[:1] for file in found.directory.glob("[abc]")} == {
        "a": b"a",
        "b": b"b",
        "c": b"c",
    }
    missing = theirs.crops("detector").missing([f"{n:032x}" for n in range(20)])
    assert len(missing) in (0, 20)
    keys = [f"{n:032x}" for n in range(20)]
    ours = machine("a")
    ours.artifacts.make("kind", "name", lambda directory: {"by": "the first"})
    ours.crops("detector").put(Entry(key, {}, b"") for key in ours.crops("detector").missing(keys))
    ours.crops("detector").publish()
    assert machine("c").artifacts.make("kind", "name", never).summary["by"] == "the first"
    assert len(list(machine("c").crops("detector").entries(keys))) == 20


def test_a_full_disk_of_this_machine_leaves_no_half_artifact(
    store: Path, machine: Callable[[str], Home], make_disk: Callable[[Path, int], SmallDisk], tmp_path: Path
) -> None:
    machine("a").artifacts.make("kind", "name", fill(os.urandom(3_000_000).hex().encode()))
    disk = make_disk(tmp_path / "disk", 2)
    theirs = Home(disk.folder / "b", str(store))
    with pytest.raises(OSError, match="No space left"):
        theirs.artifacts.make("kind", "name", never)
    assert files(disk.folder / "b" / "artifacts", "weights") == []


def test_a_store_that_is_shared_can_be_sent_to_another_process(machine: Callable[[str], Home]) -> None:
    import pickle

    crops = machine("a").crops("detector")
    crops.put(rows(1))
    crops.publish()
    sent = pickle.loads(pickle.dumps(crops))
    assert isinstance(sent, SharedContentStore)
    assert sent.missing([md5(1), md5(2)]) == [md5(2)]


def test_what_a_store_holds_is_plain(machine: Callable[[str], Home], store: Path) -> None:
    machine("a").artifacts.make("kind", "name", fill(b"a"))
    listed = json.loads((store / "artifacts" / "kind" / "name.json").read_text())
    assert listed["format"] == 1
    assert listed["files"]["folder/weights"] == {"sha256": hashlib.sha256(b"a").hexdigest(), "size": 1}
    assert {file.stat().st_mode & 0o077 for file in files(store)} == {0}


def test_small_parts_are_merged_while_others_read_and_write(machine: Callable[[str], Home], store: Path) -> None:
    for number in range(9):
        ours = machine("a").crops("detector")
        ours.put(rows(number))
        ours.publish()
    theirs = machine("b").crops("detector")
    assert theirs.missing([md5(0)]) == []
    shared = machine("a").shared
    assert prune_store(shared, 30, dry_run=True).merged == 9
    assert len(files(store / "rows", ".parquet")) == 9
    assert prune_store(shared, 30, dry_run=False).merged == 9
    assert len(files(store / "rows", ".parquet")) == 1
    assert sorted(entry.facts["n"] for entry in theirs.entries(map(md5, range(9)))) == [*range(9)], "whose index names the former parts"
    assert machine("a").crops("detector").missing(map(md5, range(9))) == []


def test_what_no_machine_used_for_long_goes_from_the_store_and_is_made_again(machine: Callable[[str], Home], store: Path) -> None:
    machine("a").artifacts.make("kind", "old", fill(b"old"))
    machine("a").crops("old").put(rows(1))
    machine("a").crops("old").publish()
    for file in files(store):
        os.utime(file, (0, 0))
    shared = machine("a").shared
    assert prune_store(shared, 30, dry_run=False) == StorePruned(0, 0, 0, 0, 0), "nothing has run since: nothing is old"
    machine("a").artifacts.make("kind", "new", fill(b"new"))
    machine("a").crops("new").put(rows(2))
    machine("a").crops("new").publish()
    done = prune_store(shared, 30, dry_run=False)
    assert (done.artifacts, done.content_stores, done.objects) == (1, 1, 2)
    assert machine("b").artifacts.make("kind", "new", never).summary["by"] == "new"
    assert machine("b").crops("new").missing([md5(2)]) == []
    assert not machine("b").artifacts.make("kind", "old", fill(b"old")).reused
    assert machine("b").crops("old").missing([md5(1)]) == [md5(1)]


def test_an_erased_person_is_gone_from_every_part_and_does_not_return(machine: Callable[[str], Home], store: Path) -> None:
    person = [md5(1), md5(2)]
    ours, theirs = machine("a"), machine("b")
    ours.crops("detector").put([*rows(*range(10)), Entry(f"{md5(1)} shrunk-20", {"n": 1}, b"her face")])
    ours.crops("detector").publish()
    theirs.crops("detector").put(rows(2, 10))
    theirs.crops("detector").publish()
    for name in ("with her", "without"):
        ours.artifacts.make("kind", name, fill(name.encode()))
    kept = ours.artifacts.find("kind", "without")
    done = erase_person(ours.shared, "person-1", person, lambda kind, name: kept.directory if name == "without" else None)
    assert (done["rows"], done["artifacts"]) == (3, 1)
    assert rows_of(ours.shared, person) == 0
    everything = b"".join(file.read_bytes() for file in files(store))
    assert not [trace for trace in (*person, "her face", "with her") if trace.encode() in everything]
    fresh = machine("c").crops("detector")
    assert fresh.missing(map(md5, range(11))) == person
    assert len(list(fresh.entries(map(md5, range(11))))) == 9
    theirs.crops("detector").put(rows(11))
    shared_rows._published.clear()
    theirs.crops("detector").publish()
    assert rows_of(ours.shared, person) == 0, "though the other machine has the rows still"
    assert machine("d").crops("detector").missing([md5(11)]) == []


def test_a_writer_that_an_erasure_overtakes_takes_its_rows_back(
    machine: Callable[[str], Home], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = machine("b").crops("detector")
    theirs.put(rows(1, 2))
    before = row_parts.part_bytes

    def overtaken(entries: list[Entry]) -> bytes:
        monkeypatch.setattr(shared_rows, "part_bytes", before)
        erase_person(machine("a").shared, "person-1", [md5(1)], lambda *_: None)
        return before(entries)

    monkeypatch.setattr(shared_rows, "part_bytes", overtaken)
    theirs.publish()
    assert rows_of(machine("a").shared, [md5(1)]) == 0
    assert rows_of(machine("a").shared, [md5(2)]) == 1
