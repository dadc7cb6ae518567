"""Decisions about production, as the message of a stage tag records them: decider, reason, and whether later commits may replace it."""

import re
from dataclasses import dataclass
from typing import Literal

from face_assets.core.outside_text import one_line

LET_THROUGH, STAYS = "The gate let it through", "It stays"
ROLLED_BACK = "Rolled back automatically: "
GAVE_BACK = "Gave production back: "
"""Prefix of the message of tags by which earlier versions of the platform rolled back."""
LONGEST_REASON = 500
FOR_COMMIT = re.compile(rf"(?:{LET_THROUGH}|{STAYS}), for commit ([0-9a-f]{{40}})")
BY_EARLIER_VERSIONS = re.compile(rf"{GAVE_BACK}|v\d+\.\d+\.\d+ failed its verification: ")
TRAILER = re.compile(r"([A-Z][A-Za-z-]*): (.+)")
SIGNATURE = "\n-----BEGIN "
BY, PRODUCTION, APPROVES = "Decided-by", "Production", "Approves"
HELD, FOLLOWS, CANDIDATE = "held", "follows-commits", "candidate"
Decider = Literal["gate", "machine", "person"]


@dataclass(frozen=True)
class Decision:
    """by: who decided; commit: the one whose release passed the gate; holds: true where a run for a commit may not replace it; approves:
    true where a person approved what the gate let through."""

    by: Decider
    reason: str
    commit: str | None
    holds: bool
    approves: bool = False

    @property
    def is_rollback_by_machine(self) -> bool:
        """True where a machine removed a release from production after its deployment check failed."""
        return self.reason.startswith((GAVE_BACK, ROLLED_BACK))


def gate_message(verb: str, commit: str) -> str:
    """The message of a tag set by the run whose gate passed; verb: LET_THROUGH or STAYS."""
    return f"{verb}, for commit {commit}\n\n{BY}: gate"


def machine_message(reason: str) -> str:
    """The message of a tag by which a machine rolls back."""
    return f"{ROLLED_BACK}{one_line(reason, LONGEST_REASON)}\n\n{BY}: machine"


def person_message(reason: str, follow: bool = False) -> str:
    """The message of a tag set for a person; `follow`: later commits may replace the release."""
    return f"{one_line(reason, LONGEST_REASON)}\n\n{BY}: person\n{PRODUCTION}: {FOLLOWS if follow else HELD}"


def approval_message(note: str) -> str:
    """The message of a tag by which a person approves a candidate; later releases may replace it."""
    return f"{person_message(note or 'Approved', follow=True)}\n{APPROVES}: {CANDIDATE}"


def read_decision(message: str) -> Decision:
    """The decision that a tag's message records. One without our trailers, as of `gto assign`, is a person's, and holds."""
    paragraphs = [part.strip() for part in f"\n{message}".split(SIGNATURE)[0].strip().split("\n\n")]
    trailers = {found[1]: found[2] for line in paragraphs[-1].splitlines() if (found := TRAILER.fullmatch(line.strip()))}
    decider = trailers.get(BY)
    reason = one_line("\n".join(paragraphs[:-1] if decider else paragraphs), LONGEST_REASON)
    named = FOR_COMMIT.fullmatch(reason)
    commit = named.group(1) if named else None
    if decider == "gate" or (decider is None and named):
        return Decision("gate", reason, commit, holds=False)
    if decider == "machine" or (decider is None and BY_EARLIER_VERSIONS.match(reason)):
        return Decision("machine", reason, None, holds=False)
    return Decision("person", reason, None, trailers.get(PRODUCTION) != FOLLOWS, trailers.get(APPROVES) == CANDIDATE)
