"""Answers that users called wrong: feedback in the inbox, committed or in the clone on this machine, and the photos kept with it."""

import re
from dataclasses import asdict, dataclass
from pathlib import Path

from face_assets.core.fingerprint import fingerprint
from face_assets.monitoring.committed_feedback import committed_feedback
from face_assets.monitoring.feedback import INBOX, PHOTOS, Feedback, read_feedback
from face_assets.registry.workspace import Workspace

PHOTO = re.compile(rf"{PHOTOS}/[A-Za-z0-9][A-Za-z0-9.-]{{0,200}}")
"""Names of photos that `write_feedback` gives."""
MOST_BYTES = 100_000_000


@dataclass(frozen=True)
class JudgedAnswer:
    """Feedback by which an answer was wrong. photo: the file in the clone's inbox, None where it is not on this machine."""

    feedback: Feedback
    photo: Path | None

    @property
    def id(self) -> str:
        """The id of its case."""
        return fingerprint("answer", asdict(self.feedback))

    def content(self) -> bytes | None:
        """The photo's bytes; None where there is none."""
        photo = self.photo
        if photo is None or photo.is_symlink() or not photo.is_file() or photo.stat().st_size > MOST_BYTES:
            return None
        return photo.read_bytes()


def judged_answers(workspace: Workspace, commit: str) -> list[JudgedAnswer]:
    """The feedback at a commit, and in the inbox of the followed clone, that calls an answer wrong; each once, the oldest first."""
    local = workspace.repository.local
    found, _ = committed_feedback(workspace, [commit])
    if local and not (local / INBOX).is_symlink():
        found += read_feedback(local)[0]
    every = {one.id: one for one in (JudgedAnswer(feedback, _photo(local, feedback)) for feedback in found)}
    return sorted((one for one in every.values() if one.feedback.verdict != "right"), key=lambda one: one.feedback.time)


def _photo(local: Path | None, feedback: Feedback) -> Path | None:
    """The kept photo. Its name is from outside, so that no other file of this machine is read for it."""
    name = feedback.photo
    if local is None or not isinstance(name, str) or not PHOTO.fullmatch(name) or (local / INBOX / PHOTOS).is_symlink():
        return None
    file = local / INBOX / name
    return file if file.is_file() and not file.is_symlink() else None
