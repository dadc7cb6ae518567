"""The journal of an erasure: what is to be erased and which steps are done, so that a killed one goes on where it was."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from face_assets.core.files import file_lock, read_json, write_json
from face_assets.dataset.photo_folders import person_key
from face_assets.erasure.traces import Traces
from face_assets.registry.erased import JOURNAL, erasures
from face_assets.registry.person import Person


class Journal:
    """Facts of an erasure in its folder; every change is on the disk when the call returns."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.facts: dict[str, Any] = read_json(folder / JOURNAL)

    @staticmethod
    def begin(home: Path, facts: Mapping[str, Any]) -> "Journal":
        """A new journal. facts: names, md5s, others, releases and what else the steps read."""
        pseudonym = f"person-{secrets.token_hex(6)}"
        began = datetime.now(UTC).isoformat(timespec="seconds")
        write_json(erasures(home) / pseudonym / JOURNAL, {"pseudonym": pseudonym, "began": began, "replaced": False, "done": {}, **facts})
        return Journal(erasures(home) / pseudonym)

    @staticmethod
    def find(home: Path, name: str) -> "Journal | None":
        """The journal of the person of that name, or of that pseudonym; None without one."""
        for file in sorted(erasures(home).glob(f"*/{JOURNAL}")):
            try:
                journal = Journal(file.parent)
            except FileNotFoundError:  # that erasure has just ended
                continue
            if journal.pseudonym == name or person_key(name) in journal.traces.keys:
                return journal
        return None

    @staticmethod
    def under_way(home: Path, by: Person) -> list[str]:
        """The pseudonyms of the erasures under way that somebody began, oldest first."""
        found = []
        for file in erasures(home).glob(f"*/{JOURNAL}"):
            with suppress(FileNotFoundError):  # that erasure has just ended
                facts = read_json(file)
                if facts.get("by") == asdict(by):
                    found.append((facts["began"], facts["pseudonym"]))
        return [pseudonym for _, pseudonym in sorted(found)]

    @property
    def pseudonym(self) -> str:
        """The name under which the erasure is on record."""
        return str(self.facts["pseudonym"])

    @property
    def traces(self) -> Traces:
        """The traces of the person."""
        return Traces(*(frozenset(self.facts[key]) for key in ("names", "md5s", "others")))

    @property
    def done(self) -> dict[str, Any]:
        """The facts of the steps that are done, by name."""
        return self.facts["done"]  # type: ignore[no-any-return]

    def end_step(self, name: str, facts: Mapping[str, Any], **changed: Any) -> None:
        """Records a step as done."""
        self.facts = {**self.facts, **changed, "done": {**self.done, name: dict(facts)}}
        write_json(self.folder / JOURNAL, self.facts)

    def note(self, **changed: Any) -> None:
        """Records facts."""
        self.facts = {**self.facts, **changed}
        write_json(self.folder / JOURNAL, self.facts)

    def reopen(self, *names: str) -> None:
        """Has steps done once more."""
        self.facts = {**self.facts, "done": {name: facts for name, facts in self.done.items() if name not in names}}
        write_json(self.folder / JOURNAL, self.facts)

    def want_rewriting(self) -> None:
        """Has the git history rewritten, too, in an erasure that was begun without."""
        if not self.facts.get("rewrite_history"):
            self.note(rewrite_history=True)
            self.reopen("history")

    def end(self) -> None:
        """Removes the journal, and with it the name and the embeddings."""
        for file in self.folder.glob("*.npz"):
            file.unlink()
        (self.folder / JOURNAL).unlink()


@contextmanager
def erasing(home: Path) -> Iterator[None]:
    """Lets one erasure go on at a time on this machine."""
    with file_lock(erasures(home) / ".lock", seconds=5.0):
        yield
