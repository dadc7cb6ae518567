"""Record of use: a line for each answer, chained by hashes, on disk before the answer is sent. It holds no name and no face.

FOLDER/DAY.jsonl are the lines. Each states its number and the SHA-256 of the line before it, so a line that is changed, removed or
moved is found; `head`, a file of its own, holds number and hash of the last one, so a cut end is found as well. All processes of the
server append to one chain, under a lock.
"""

import fcntl
import hashlib
import hmac
import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from face_assets.serving.runtime.sealed_photos import DAYS, LIBRARY, PHOTOS, RECIPIENT, SealedPhotos

FOLDER = "FACE_ASSETS_RECORD"
"""Folder of the record; without it nothing is recorded."""
REQUIRED = "FACE_ASSETS_RECORD_REQUIRED"
"""Set where an answer that cannot be recorded must not be given."""
CALLER = "face-assets-caller"
"""The request parameter with the platform's token, a blank, and the name of the caller's key."""
HEAD, LOCK, FILES = "head", ".lock", "????-??-??.jsonl"
NOTHING = "0" * 64
LONGEST_LINE = 4096
MOST_WAITING = 10_000
LONGEST_CALLER = 100
SECONDS_TO_WRITE = 10.0
NOT_RECORDED, NOT_KEPT = "use_not_recorded", "photo_not_kept"

Problem = Callable[..., None]


class NotRecordedError(Exception):
    """Error: the use cannot be recorded, and no answer is given without."""


@dataclass(frozen=True)
class Place:
    """The end of a chain: number and hash of its last line."""

    number: int = 0
    digest: str = NOTHING


@dataclass
class _Waiting:
    """A line's facts until they are on disk."""

    facts: dict[str, Any]
    ended: threading.Event = field(default_factory=threading.Event)
    failed: bool = False


class UseRecord:
    """Appends to the record of a folder. Thread-safe: lines that come while others are written reach the disk together."""

    def __init__(
        self,
        folder: Path,
        about: Mapping[str, str],
        required: bool,
        problem: Problem,
        lost: Callable[[int], None],
        clock: Callable[[], float] = time.time,
        photos: SealedPhotos | None = None,
    ):
        """Starts the thread. about: facts of every line, the release and its gallery; photos: keeps those of matches;
        problem(event, **facts): called for each problem;
        lost: called with a number of answers without a record."""
        self.folder, self.about, self.required = folder, dict(about), required
        self._problem, self._count_lost, self._clock = problem, lost, clock
        self._photos = photos
        self._waiting: list[_Waiting] = []
        self._lost = 0
        self._failing: set[str] = set()  # the problems that are reported and last
        self._ending = False
        self._changed = threading.Condition()
        self._known: tuple[Path, int, Place] | None = None  # the last file, its size, and its end, as this process left them
        self._thread = threading.Thread(target=self._work, name="record of use", daemon=True)
        self._thread.start()

    def write(self, outcome: Mapping[str, Any], caller: str | None, wait: bool = True) -> None:
        """Records an answer; with `wait` it is on disk afterwards. Raises NotRecordedError where it is not and must be."""
        one = _Waiting({"time": _moment(self._clock()), **self.about, "caller": caller, **outcome})
        with self._changed:
            if self._ending or len(self._waiting) >= MOST_WAITING:
                one.failed = True
                self._lost += 1
                self._count_lost(1)
            else:
                self._waiting.append(one)
                self._changed.notify()
        if not wait:
            return
        if not one.failed:
            one.failed = not one.ended.wait(SECONDS_TO_WRITE) or one.failed
        if one.failed and self.required:
            raise NotRecordedError("the use cannot be recorded, and no answer is given without")

    def write_match(
        self, outcome: Mapping[str, Any], caller: str | None, photos: Sequence[bytes], matches: Sequence[Mapping[str, Any]]
    ) -> None:
        """Records an answer as `write`, and keeps its photos where somebody matched and they are asked for. Raises NotRecordedError."""
        if self._photos and matches:
            try:
                outcome = {**outcome, "photo": self._photos.keep(photos, matches)}
            except Exception as error:
                self._report(error, NOT_KEPT)
                if self.required:
                    self._count_lost(1)
                    raise NotRecordedError("the photo of a match cannot be kept, and no answer is given without") from error
                outcome = {**outcome, "photo": "not kept"}
            else:
                self._failing.discard(NOT_KEPT)
        self.write(outcome, caller)

    def close(self) -> None:
        """Writes what waits, and ends the thread."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ending)
                batch, self._waiting = self._waiting, []
                lost = self._lost
            if self._photos:
                with suppress(OSError):
                    self._photos.expire()
            if not batch:
                return
            self._write(batch, lost)

    def _write(self, batch: Sequence[_Waiting], lost: int) -> None:
        gap = [{"time": _moment(self._clock()), **self.about, "not_recorded": lost}] if lost else []
        try:
            self._append([*gap, *(one.facts for one in batch)])
        except Exception as error:
            self._report(error, NOT_RECORDED)
            with self._changed:
                self._lost += len(batch)
            self._count_lost(len(batch))
            for one in batch:
                one.failed = True
        else:
            self._failing.discard(NOT_RECORDED)
            with self._changed:
                self._lost -= lost
        for one in batch:
            one.ended.set()

    def _report(self, error: Exception, event: str) -> None:
        if event not in self._failing:  # once, not for every answer
            reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            self._problem(event, folder=str(self.folder), reason=reason)
        self._failing.add(event)

    def _append(self, facts: Sequence[Mapping[str, Any]]) -> None:
        """Appends lines, all or none. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / LOCK, "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            last, place = self._end()
            file = max(last or Path(), self.folder / f"{datetime.fromtimestamp(self._clock(), UTC):%Y-%m-%d}.jsonl")
            text = b""
            for one in facts:
                line = line_of(place.number + 1, one, place.digest)
                place = Place(place.number + 1, digest_of(line))
                text += line + b"\n"
            size = _extend(file, text)
            if file != last:
                _sync(self.folder)
            try:
                self._write_head(place)
            except OSError:
                os.truncate(file, size)
                raise
            self._known = file, size + len(text), place

    def _end(self) -> tuple[Path | None, Place]:
        """The last file and the end of the chain, after a line that a killed process left unfinished is cut off."""
        files = sorted(self.folder.glob(FILES), reverse=True)
        last = files[0] if files else None
        if last and self._known and self._known[:2] == (last, last.stat().st_size):
            return last, self._known[2]
        found = next(filter(None, map(_last_place, files)), Place())
        head = read_head(self.folder)
        if head and (head.number > found.number or (head.number == found.number and head != found)):
            self._problem("record_of_use_is_broken", head=head.number, found=found.number)
            return last, head  # `face-assets record verify` then finds the gap
        return last, found

    def _write_head(self, place: Place) -> None:
        """Replaces number and hash in place: a file of constant length needs no room on a full disk."""
        head = os.open(self.folder / HEAD, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(head, f"{place.number:020d} {place.digest}\n".encode(), 0)
        finally:
            os.close(head)


def line_of(number: int, facts: Mapping[str, Any], before: str) -> bytes:
    """The line of a record, without its end. before: hash of the line before it."""
    return json.dumps({"number": number, **facts, "before": before}, ensure_ascii=False, separators=(",", ":")).encode()


def digest_of(line: bytes) -> str:
    """The hash of a line."""
    return hashlib.sha256(line).hexdigest()


def read_head(folder: Path) -> Place | None:
    """The head of a folder's chain; None where there is none that can be read."""
    with suppress(OSError, ValueError):
        number, digest = (folder / HEAD).read_text(encoding="ascii").split()
        return Place(int(number), digest)
    return None


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _extend(file: Path, text: bytes) -> int:
    """Appends to a file, and returns its size before; all is on disk afterwards, or nothing. Raises OSError."""
    out = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        size = os.fstat(out).st_size
        try:
            left = memoryview(text)
            while left:
                left = left[os.write(out, left) :]
            os.fdatasync(out)
        except OSError:
            os.ftruncate(out, size)
            raise
        return size
    finally:
        os.close(out)


def _last_place(file: Path) -> Place | None:
    """The place of a file's last line; None without one. Cuts off a line without an end, whose answer was never given."""
    with open(file, "r+b") as opened:
        size = opened.seek(0, os.SEEK_END)
        start = max(0, size - 2 * LONGEST_LINE)
        opened.seek(start)
        tail = opened.read()
        whole = tail[: tail.rfind(b"\n") + 1]
        if len(whole) < len(tail):
            opened.truncate(start + len(whole))
    line = whole[:-1].rpartition(b"\n")[2]
    if not line:
        return None
    try:
        return Place(int(json.loads(line)["number"]), digest_of(line))
    except (ValueError, KeyError, TypeError):
        return Place()


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def open_record(
    release: str, gallery: Path, lost: Callable[[int], None], problem: Problem, environment: Mapping[str, str] = os.environ
) -> UseRecord | None:
    """The record that the environment asks for, with the SHA-256 of the gallery's file; None where it asks for none."""
    if not environment.get(FOLDER):
        return None
    with open(gallery, "rb") as file:
        about = {"release": release, "gallery": hashlib.file_digest(file, "sha256").hexdigest()}
    folder, photos = Path(environment[FOLDER]), None
    if environment.get(RECIPIENT):
        photos = SealedPhotos(folder / PHOTOS, environment[RECIPIENT], int(environment[DAYS]), Path(environment[LIBRARY]))
    return UseRecord(folder, about, bool(environment.get(REQUIRED)), problem, lost, photos=photos)


def caller_of(parameters: str, token: str) -> str | None:
    """The name of the caller's key by a request's parameters, as JSON. One that is stated without the platform's token does not count."""
    if not token or CALLER not in parameters:
        return None
    try:
        stated = [value for name, value in json.loads(parameters, object_pairs_hook=list) if name == CALLER]
    except (ValueError, TypeError, RecursionError):
        return None
    for value in stated:
        given, _, name = value.partition(" ") if isinstance(value, str) else ("", "", "")
        if hmac.compare_digest(given.encode("utf-8", "surrogatepass"), token.encode()):
            return name[:LONGEST_CALLER] or None
    return None
