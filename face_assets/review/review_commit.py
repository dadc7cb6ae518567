"""The commit of a review: all decisions of the draft at once, so that `git revert` takes them back together."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from face_assets.audit.reviewed import record_of, reviewed_cases
from face_assets.core.errors import RefusedError, UserError
from face_assets.core.files import file_lock
from face_assets.core.identifiers import CommitId
from face_assets.gallery.enrolled_photos import source_of
from face_assets.gallery.people import NotEnrolledError
from face_assets.gallery.people_commits import followed_branch
from face_assets.gallery.people_register import read_register, today
from face_assets.registry.folder_commit import DataChange, commit_data
from face_assets.registry.person import PLATFORM, Person
from face_assets.registry.watch import REVIEWED
from face_assets.registry.workspace import Workspace
from face_assets.review.cases import people_of
from face_assets.review.decisions import WORDS, Decision, Effect, apply
from face_assets.review.draft import Draft
from face_assets.review.judged_answers import judged_answers

SECONDS_TO_WAIT = 120.0  # for another reviewer's commit


@dataclass(frozen=True)
class Reviewed:
    """A committed review. line: subject of the commit; refused: decisions that stay in the draft, with reasons."""

    commit: CommitId
    line: str
    committed: int
    refused: list[tuple[Decision, str]]


def commit_review(workspace: Workspace, author: Person) -> Reviewed:
    """The commit of the draft's decisions on the followed branch.

    A decision that no longer fits the data stays in the draft, and the others are committed. Raises UserError, then with nothing changed.
    """
    draft = Draft.of(workspace)
    with file_lock(draft.file.with_suffix(".commit.lock"), seconds=SECONDS_TO_WAIT):
        decisions = list(draft.read().values())
        if not decisions:
            raise RefusedError("No decision is left to commit: another reviewer has committed them, or all are taken back.")
        made = _Change(workspace, decisions, author)
        workspace.repository.refresh()
        branch = followed_branch(workspace)
        commit = commit_data(workspace.repository, branch, made.at)
        draft.settle({decision.token for decision in made.done})
        if commit is None:
            reasons = [reason for _, reason in made.refused] or ["All decisions are on the branch already."]
            raise RefusedError(*reasons)
        return Reviewed(commit, made.line, len(made.done), made.refused)


class _Change:
    """The change by some decisions, made anew where the branch moved meanwhile."""

    def __init__(self, workspace: Workspace, decisions: Sequence[Decision], author: Person):
        self.workspace = workspace
        self.decisions = decisions
        self.author = author
        self.done: list[Decision] = []
        self.refused: list[tuple[Decision, str]] = []
        self.line = ""

    def at(self, commit: CommitId) -> DataChange | None:
        """The change at a commit; None where no decision is left."""
        repository = self.workspace.repository
        self.done, self.refused = [], []
        reviewed, register = reviewed_cases(repository, commit), read_register(repository, commit)
        folders, before = people_of(self.workspace, commit), people_of(self.workspace, commit)
        answers = {answer.id: answer for answer in judged_answers(self.workspace, commit)}
        contents: dict[str, bytes] = {}
        effects: list[Effect] = []
        for decision in self.decisions:
            if decision.case in reviewed:  # committed, and the process was killed before the draft knew
                self.done.append(decision)
                continue
            answer = answers.get(decision.case)
            photo = answer.content() if answer and decision.verdict == "belongs" else None
            try:
                if register and decision.to:
                    register.require([decision.to], today())
                effects.append(apply(decision, folders, source_of(repository, commit), photo))
            except (RefusedError, NotEnrolledError) as error:
                self.refused.append((decision, str(error)))
                continue
            self.done.append(decision)
            if photo:
                contents[hashlib.md5(photo, usedforsecurity=False).hexdigest()] = photo
        new = [decision for decision in self.done if decision.case not in reviewed]
        if not new:
            return None
        empty = next((name for name, people in folders.items() if not people.names and before[name].names), None)
        if empty:
            raise UserError(f"These decisions leave nobody in {empty}/, with which no release can be made: take some back.")
        self.line, message = _message(new, effects)
        changed = {name: people.listing() for name, people in folders.items() if people.files != before[name].files}
        acknowledged = list(dict.fromkeys(name for effect in effects for name in effect.acknowledged))
        record = record_of({**reviewed, **{decision.case: decision.verdict for decision in new}})
        author = self._author(new)
        return DataChange(changed, {REVIEWED: record}, message, author, acknowledged, contents)

    def _author(self, decisions: Sequence[Decision]) -> Person:
        """The author of the commit: the one who writes it, where all decisions are that person's; else the platform."""
        return self.author if {decision.by for decision in decisions} == {self.author.name} else PLATFORM


def _message(decisions: Sequence[Decision], effects: Sequence[Effect]) -> tuple[str, str]:
    """The subject and the whole message of the commit."""
    counted: Mapping[str, int] = Counter(decision.verdict for decision in decisions)
    parts = [f"{counted[verdict]} {word.removesuffix(' to').removesuffix(' as')}" for verdict, word in WORDS.items() if counted[verdict]]
    several = sorted({decision.by for decision in decisions})
    subject = f"Review {len(decisions)} case{'s' if len(decisions) != 1 else ''}: {', '.join(parts)}"
    lines = [f"- {effect.line}" for effect in effects if effect.line]
    body = ["\n".join(lines)] if lines else []
    return subject, "\n\n".join([subject, *body, f"Reviewed by {', '.join(several)}"]) + "\n"
