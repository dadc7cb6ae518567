"""The people behind the routes: what is enrolled, and a writer that makes one commit of the changes of a short time."""

import hashlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

from face_assets.gallery.enrolled_photos import source_of
from face_assets.gallery.people import NotEnrolledError, People, Photo, valid_name
from face_assets.gallery.people_changes import AddPhotos, PeopleChange
from face_assets.gallery.people_commits import Outcome, Request, change_people, followed_branch, people_at, require_possible
from face_assets.gallery.photo_checks import PhotoChecks
from face_assets.registry.person import Person
from face_assets.registry.workspace import Workspace
from face_assets.web.problems import WebError

SECONDS_TO_GATHER = 0.25
MOST_WAITING = 256
SECONDS_TO_END = 60.0
Write = Callable[[Sequence[Request]], list[Outcome]]


class PeopleWriter:
    """Writes changes in the order in which they come: those of SECONDS_TO_GATHER, and those that come while a commit is written, are one
    commit. Its thread starts with the first change."""

    def __init__(self, write: Write, gather: float = SECONDS_TO_GATHER):
        self._write = write
        self._gather = gather
        self._waiting: queue.Queue[tuple[Request, Future[Outcome]] | None] = queue.Queue(MOST_WAITING)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def submit(self, change: PeopleChange, author: Person) -> "Future[Outcome]":
        """The outcome to come. Raises WebError where too many changes wait."""
        made: Future[Outcome] = Future()
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="people", daemon=True)
                self._thread.start()
        try:
            self._waiting.put_nowait((Request(change, author), made))
        except queue.Full:
            raise WebError(503, "Too many changes of people wait: send this one again in a second.") from None
        return made

    def close(self) -> None:
        """Ends the thread once the waiting changes are written, which a kill leaves whole as well."""
        if self._thread:
            self._waiting.put(None)
            self._thread.join(SECONDS_TO_END)

    def _run(self) -> None:
        open_ = True
        while open_:
            first = self._waiting.get()
            if first is None:
                return
            time.sleep(self._gather)
            batch = [first]
            while not self._waiting.empty():
                one = self._waiting.get_nowait()
                if one is None:
                    open_ = False
                    break
                batch.append(one)
            try:
                outcomes = self._write([request for request, _ in batch])
            except BaseException as error:
                for _, made in batch:
                    made.set_exception(error)
            else:
                for (_, made), outcome in zip(batch, outcomes, strict=True):
                    made.set_result(outcome)


class PeopleService:
    """People of the followed data repository. Its methods block; several threads may call them."""

    def __init__(self) -> None:
        self.writer = PeopleWriter(lambda requests: change_people(Workspace.load(), requests))
        self._lock = threading.Lock()
        self._checks: PhotoChecks | None = None
        self._read: tuple[str, People] | None = None

    def head(self) -> str:
        """The commit at the head of the followed branch, as of the last fetch, which is the platform's every few seconds."""
        workspace = Workspace.load()
        if not (workspace.repository.mirror / "HEAD").is_file():
            workspace.repository.refresh()
        return workspace.repository.resolve(followed_branch(workspace))

    def people(self) -> tuple[str, People]:
        """The head's commit, and the people there, to be read only."""
        workspace, head = Workspace.load(), self.head()
        with self._lock:
            if self._read is None or self._read[0] != head:
                self._read = (head, people_at(workspace, head))
            return self._read

    def photo(self, name: str, md5: str) -> Path:
        """The file of a person's photo. Raises NotEnrolledError."""
        head, people = self.people()
        key = people.key_of(name)
        if md5 not in people.photos[key].values():
            raise NotEnrolledError(f"{people.names[key]} has no such photo.")
        repository = Workspace.load().repository
        return repository.locate(head, source_of(repository, head), [md5])[md5]

    def example(self, md5: str) -> bytes:
        """The bytes of a photo that somebody is enrolled from. Raises NotEnrolledError."""
        _, people = self.people()
        owner = people.owner_of(md5)
        if owner is None:
            raise NotEnrolledError("Nobody is enrolled from such a photo.")
        return self.photo(owner, md5).read_bytes()

    def add(self, name: str, contents: Sequence[bytes], is_new: bool | None, meant: bool, author: Person) -> Outcome:
        """Enrols a person (is_new), adds photos to one who is enrolled (not), or does either (None), once the photos are judged.

        Raises UserError.
        """
        photos = tuple(
            Photo(hashlib.md5(content, usedforsecurity=False).hexdigest(), content, f"photo {number}")
            for number, content in enumerate(contents, 1)
        )
        change = AddPhotos(valid_name(name), photos, is_new, meant)
        head = self.head()
        require_possible(Workspace.load(), head, change)  # so that a name that is taken costs no detection
        self.checks().require_good(head, change.name, photos, meant)
        return self.change(change, author)

    def change(self, change: PeopleChange, author: Person) -> Outcome:
        """The outcome of a change. Raises UserError where it is refused, or cannot be written."""
        outcome = self.writer.submit(change, author).result()
        if outcome.error:
            raise outcome.error
        return outcome

    def checks(self) -> PhotoChecks:
        """The checks of photos by the settings in force; the networks are loaded with their first use."""
        workspace = Workspace.load()
        with self._lock:
            if self._checks is None or self._checks.workspace.settings != workspace.settings:
                self._checks = PhotoChecks(workspace)
            return self._checks
