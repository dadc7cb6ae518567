"""The draft: decisions that are not committed yet, in the state directory, so that a restart loses none."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from face_assets.core.files import file_lock, lock_path, read_json, write_json
from face_assets.core.fingerprint import fingerprint
from face_assets.gallery.people import ConflictError
from face_assets.registry.workspace import Workspace
from face_assets.review.decisions import Decision


class Draft:
    """Decisions by case, in one file; several processes and people may write to it."""

    def __init__(self, file: Path):
        self.file = file

    @staticmethod
    def of(workspace: Workspace) -> "Draft":
        """The draft about the followed data repository."""
        return Draft(workspace.home.root / "review" / f"{fingerprint(workspace.repository.source)}.json")

    def read(self) -> dict[str, Decision]:
        """The decisions by case, in the order in which they were made."""
        if not self.file.is_file():
            return {}
        return {values["case"]: Decision(**values) for values in read_json(self.file)}

    def decide(self, decision: Decision, seen: str) -> None:
        """Adds a decision, or replaces the one with the token `seen`, "" for none.

        Raises ConflictError where the case has another decision, such as that of another reviewer.
        """
        with self._changing() as decisions:
            self._require_seen(decisions, decision.case, seen)
            decisions.pop(decision.case, None)
            decisions[decision.case] = decision

    def undo(self, case: str, seen: str) -> None:
        """Takes the decision with the token `seen` back. Raises ConflictError as `decide` does."""
        with self._changing() as decisions:
            self._require_seen(decisions, case, seen)
            decisions.pop(case, None)

    def settle(self, tokens: Collection[str]) -> None:
        """Drops decisions that are committed; one that replaced such a one meanwhile stays."""
        with self._changing() as decisions:
            for case in [case for case, decision in decisions.items() if decision.token in tokens]:
                del decisions[case]

    @staticmethod
    def _require_seen(decisions: dict[str, Decision], case: str, seen: str) -> None:
        now = decisions.get(case)
        if (now.token if now else "") == seen:
            return
        if now is None:
            raise ConflictError("This decision was committed or taken back meanwhile: load the page again.")
        raise ConflictError(f"{now.by} decided this meanwhile: {now.words}. Take that back first, or leave it.")

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Decision]]:
        """The decisions, written when the block ends without an error."""
        with file_lock(lock_path(self.file)):
            decisions = self.read()
            yield decisions
            write_json(self.file, [asdict(decision) for decision in decisions.values()])
