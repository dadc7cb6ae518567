"""Feedback from the field: judged results as files in the inbox of the data repository, and error rates from them.

A file is a proposal: it counts at once, and belongs to the data once a person commits it. It contains no photo and no embedding; a
supplied photo is in a folder that git ignores.
"""

import json
import math
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from face_assets.core.errors import UserError
from face_assets.core.files import SHARED, write_bytes, write_json, write_text
from face_assets.core.rights import outside
from face_assets.dataset.photo_folders import person_key

INBOX = "inbox"
MOST_BYTES = 100_000  # of a proposal
PHOTOS = "photos"
LATEST = 253_402_300_800  # the year 10000
STRANGER, SOMEBODY_ELSE = "(stranger)", "(somebody else)"
Verdict = Literal["right", "false accept", "false reject"]
Z = 1.959964  # of a normal distribution, for 95 %


@dataclass(frozen=True)
class Feedback:
    """A person's judgement of a result.

    answered: the identity that the server found, None for nobody enrolled; truth: the real identity, STRANGER for nobody enrolled,
    SOMEBODY_ELSE where only the mistake is known; sampled: True where the result was chosen at random, and not because it looked wrong;
    time: seconds since the epoch; photo: name of a file in the inbox.
    """

    answered: str | None
    truth: str
    release: str
    time: float
    sampled: bool = False
    score: float | None = None
    photo: str | None = None
    note: str = ""

    @property
    def verdict(self) -> Verdict:
        """The verdict on the result. A wrong identity is a false accept, for strangers and for enrolled people."""
        if self.answered is None:
            return "right" if self.truth == STRANGER else "false reject"
        return "right" if person_key(self.truth) == person_key(self.answered) else "false accept"


@dataclass(frozen=True)
class Rate:
    """A rate, `wrong` of `of` results, with a 95 % interval; None without a judged result."""

    wrong: int
    of: int
    low: float
    high: float

    @property
    def rate(self) -> float | None:
        """The share."""
        return self.wrong / self.of if self.of else None


@dataclass(frozen=True)
class Estimate:
    """Error rates of one release from sampled results, and the numbers of mistakes reported otherwise, which are no rate."""

    release: str
    false_accepts: Rate
    false_rejects: Rate
    reported_false_accepts: int
    reported_false_rejects: int


def wilson(wrong: int, of: int) -> Rate:
    """Returns Wilson's score interval, which stays within 0 and 1 and is valid for few results (Brown, Cai and DasGupta, 2001)."""
    if not of:
        return Rate(0, 0, 0.0, 1.0)
    share, square = wrong / of, Z * Z
    middle = (share + square / (2 * of)) / (1 + square / of)
    half = Z / (1 + square / of) * math.sqrt(share * (1 - share) / of + square / (4 * of * of))
    return Rate(wrong, of, max(0.0, middle - half) if wrong else 0.0, min(1.0, middle + half) if wrong < of else 1.0)


def estimates(found: Iterable[Feedback]) -> list[Estimate]:
    """Returns estimates by release, in order. False accepts are a share of identified faces, false rejects of those not identified."""
    by_release: dict[str, list[Feedback]] = {}
    for one in found:
        by_release.setdefault(one.release, []).append(one)
    return [_estimate(release, by_release[release]) for release in sorted(by_release)]


def _estimate(release: str, found: Sequence[Feedback]) -> Estimate:
    sampled = [one for one in found if one.sampled]
    accepted = [one for one in sampled if one.answered is not None]
    refused = [one for one in sampled if one.answered is None]
    reported = [one.verdict for one in found if not one.sampled]
    return Estimate(
        release,
        wilson(sum(one.verdict != "right" for one in accepted), len(accepted)),
        wilson(sum(one.verdict != "right" for one in refused), len(refused)),
        reported.count("false accept"),
        reported.count("false reject"),
    )


@outside()
def write_feedback(repository: Path, feedback: Feedback, photo: bytes | None = None, suffix: str = "") -> Path:
    """Writes a proposal to the inbox of a working tree, owned by the caller. Returns the file."""
    name = f"{int(feedback.time)}-{uuid.uuid4().hex[:8]}"
    inbox = repository / INBOX
    _require_no_links(inbox)
    values = asdict(feedback)
    if photo is not None:
        _ignore_photos(inbox / ".gitignore")
        values["photo"] = f"{PHOTOS}/{name}{suffix}"
        write_bytes(inbox / values["photo"], photo, SHARED)
    write_json(inbox / f"{name}.json", values, SHARED)
    return inbox / f"{name}.json"


def _require_no_links(inbox: Path) -> None:
    """Raises UserError for a link in place of the inbox, through which other files of this machine would be read or written."""
    for path in (inbox, inbox / PHOTOS, inbox / ".gitignore"):
        if path.is_symlink():
            raise UserError(f"{path} is a symbolic link to {path.readlink()}: remove it, and give the feedback again.")


def _ignore_photos(file: Path) -> None:
    """Adds the photos to .gitignore: they belong to DVC."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    if f"/{PHOTOS}/" not in lines:
        write_text(file, "".join(f"{line}\n" for line in (*lines, f"/{PHOTOS}/")), SHARED)


def read_feedback(repository: Path) -> tuple[list[Feedback], list[str]]:
    """Returns the proposals in the inbox of a working tree, oldest first, and a sentence about each invalid file."""
    files = (file for file in sorted((repository / INBOX).glob("*.json")) if file.is_file() and not file.is_symlink())
    return parse_feedback((str(file), file.read_bytes() if file.stat().st_size <= MOST_BYTES else b"") for file in files)


def parse_feedback(files: Iterable[tuple[str, bytes]]) -> tuple[list[Feedback], list[str]]:
    """Returns the proposals of files (name, content), oldest first, and a sentence about each invalid file."""
    found, problems = [], []
    for name, content in files:
        try:
            found.append(_parse(json.loads(content)))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            problems.append(f"{name} is no feedback ({type(error).__name__}: {error}): mend or delete it.")
    return sorted(found, key=lambda one: one.time), problems


def _parse(values: Any) -> Feedback:
    found = Feedback(**values)
    if not isinstance(found.truth, str) or not isinstance(found.release, str) or not isinstance(found.time, (int, float)):
        raise ValueError("`truth`, `release` and `time` must be there")
    if not isinstance(found.time, bool) and not 0 <= found.time < LATEST:
        raise ValueError("`time` must be seconds since 1970")
    if not isinstance(found.answered, (str, type(None))) or not isinstance(found.sampled, bool):
        raise ValueError("`answered` must be a name or null, `sampled` true or false")
    return found


def require_working_tree(path: Path) -> Path:
    """Returns the root of the git working tree at or above `path`. Raises UserError where there is none."""
    for folder in (path.absolute(), *path.absolute().parents):
        if (folder / ".git").exists():
            return folder
    raise UserError(f"{path} is in no git working tree: run this in your clone of the data repository, or name it with --repo.")
