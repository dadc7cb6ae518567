"""Files, content store, artifacts: whole or absent, whatever happens in between."""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from face_assets.core import processes
from face_assets.core.errors import UserError
from face_assets.core.files import file_lock, new_directory, write_bytes
from face_assets.core.full_disk import full_disk
from face_assets.storage.artifacts import ArtifactStore
from face_assets.storage.content_store import ContentStore, Entry
from tests.small_disk import SmallDisk
from tests.waiting import until


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    write_bytes(file, b"old")
    with pytest.raises(TypeError):
        write_bytes(file, "not bytes")  # type: ignore[arg-type]
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_directory_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), new_directory(tmp_path / "made") as aside:
        (aside / "half").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_library_that_fails_on_a_full_disk_in_words_of_its_own_is_said_to_have_met_one(
    tmp_path: Path, make_disk: Callable[[Path, int], SmallDisk]
) -> None:
    disk = make_disk(tmp_path / "disk", 8)
    with pytest.raises(OSError) as failed, new_directory(disk.folder / "made") as aside:
        try:
            (aside / "engine").write_bytes(bytes(9_000_000))
        except OSError:
            raise RuntimeError("unexpected pos 4096 vs 3984") from None
    assert full_disk(failed.value, tmp_path) == (
        f"The disk is full ([Errno 28] No space left on device: unexpected pos 4096 vs 3984: '{disk.folder}/made'): "
        "free some space and run again; what was finished is kept."
    )
    assert list(disk.folder.iterdir()) == []
    disk.leave(0.1)
    assert full_disk(UserError("git init: could not set 'core.bare'"), disk.folder / "home" / "repository")
    assert full_disk(UserError("git init: could not set 'core.bare'"), tmp_path) is None


def test_the_first_of_two_makers_of_a_directory_wins(tmp_path: Path) -> None:
    with new_directory(tmp_path / "made") as slow:
        (slow / "by").write_text("slow")
        with new_directory(tmp_path / "made") as quick:
            (quick / "by").write_text("quick")
    assert (tmp_path / "made" / "by").read_text() == "quick"
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_an_artifact_killed_half_way_is_made_again(tmp_path: Path) -> None:
    script = f"""
from pathlib import Path; import time
from face_assets.storage.artifacts import ArtifactStore
def fill(directory):
    (directory / "half").write_text("x"); print("filling", flush=True); time.sleep(60)
ArtifactStore(Path({str(tmp_path)!r})).make("kind", "name", fill)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.kill()
    store = ArtifactStore(tmp_path)
    assert store.find("kind", "name") is None
    made = store.make("kind", "name", lambda directory: {"fact": 1})
    assert (made.reused, made.summary["fact"]) == (False, 1)
    assert list((tmp_path / "kind").glob(".partial-*")) == []
    assert store.make("kind", "name", lambda directory: pytest.fail("made twice")).reused


def _write_many(path: Path, first: int) -> None:
    store = ContentStore(path)
    for start in range(first, first + 500, 50):
        store.put(Entry(str(number), {"by": first}, bytes([number % 256]) * 1000) for number in range(start, start + 50))


def test_two_processes_write_one_content_store(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(path, first)) for first in (0, 250)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    store = ContentStore(path)
    keys = [str(number) for number in range(760)]
    assert store.missing(keys) == [str(number) for number in range(750, 760)]
    assert {entry.key: entry.blob for entry in store.entries(keys)}["77"] == bytes([77]) * 1000


def test_the_first_entry_of_a_key_stays(tmp_path: Path) -> None:
    store = ContentStore(tmp_path / "store.sqlite")
    store.put([Entry("a", {"n": 1}, b"1")])
    store.put([Entry("a", {"n": 2}, b"2")])
    assert store.facts(["a", "b"]) == {"a": {"n": 1}}


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    script = f"""
from pathlib import Path; import time
from face_assets.core.files import file_lock
with file_lock(Path({str(tmp_path / "lock")!r})):
    print("held", flush=True); time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.send_signal(signal.SIGKILL)
    with file_lock(tmp_path / "lock"):
        pass


def test_a_process_is_told_from_another_with_its_pid(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    started = processes.start(command, tmp_path / "log", record, os.environ, tmp_path)
    assert processes.recorded(record) == started
    assert processes.stop(record)
    assert not processes.stop(record)
    record.write_text(f'{{"pid": {os.getpid()}, "began": 1}}')
    assert processes.recorded(record) is None
    assert not processes.stop(record)


def test_what_a_killed_process_started_is_ended_without_its_record(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    script = "import subprocess, time; subprocess.Popen(['sleep', '60'], start_new_session=True); print('up', flush=True); time.sleep(60)"
    started = processes.start([sys.executable, "-c", script], tmp_path / "log", record, os.environ, tmp_path)
    assert until(lambda: "up" in (tmp_path / "log").read_text(), 30)
    os.kill(started.pid, signal.SIGKILL)
    record.unlink()
    (left,) = (one for one in processes.descendants(record) if one.pid != started.pid)
    assert left.name() == "sleep"
    assert processes.stop(record)
    assert until(lambda: not left.is_running() or left.status() == psutil.STATUS_ZOMBIE, 30)  # which somebody else has to reap
    assert not processes.stop(record)
