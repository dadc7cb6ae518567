"""The decision about a gallery: which findings the commits acknowledge, which are few enough, and the sentences of a refusal."""

import shlex
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from face_assets.core.outside_text import shown
from face_assets.core.params import Gallery as Limits
from face_assets.dataset.photo_folders import person_key
from face_assets.gallery.gate import CHECKS, FACES, PEOPLE, Finding
from face_assets.registry.acknowledgements import trailer

SHOWN = 3
LISTED = 200


@dataclass(frozen=True)
class Scope:
    """The change that is judged. touched: number of new and changed people; enrolled: number of people in production, None without
    production; is_curated: the gallery is a folder of its own, and not the photos."""

    touched: int
    enrolled: int | None
    is_curated: bool


@dataclass(frozen=True)
class Outcome:
    """The outcome of a check. open: sentences of findings that nobody acknowledged; acknowledged: number of the others."""

    passed: bool
    description: str
    open: list[str]
    acknowledged: int

    def to_json(self) -> dict[str, Any]:
        """JSON-able values, with at most LISTED sentences."""
        return {"passed": self.passed, "description": self.description, "findings": self.open[:LISTED], "acknowledged": self.acknowledged}


def decide(findings: Iterable[Finding], acknowledged: Collection[str], scope: Scope, limits: Limits) -> dict[str, Outcome]:
    """The outcome of each of CHECKS. acknowledged: keys of people.

    A changed face and a rename are never tolerated. Of other doubts a commit may leave `max_doubtful` of the touched people, and of
    production's people `max_vanished` may go; in a curated gallery a doubtful photo of somebody in production is not tolerated either.
    Without production, which a first gallery could spoil, findings are reported alone.
    """
    by_check: dict[str, list[Finding]] = {check: [] for check in CHECKS}
    for finding in findings:
        by_check[finding.check].append(finding)
    return {check: _outcome(check, found, acknowledged, scope, limits) for check, found in by_check.items()}


def _outcome(check: str, found: Sequence[Finding], acknowledged: Collection[str], scope: Scope, limits: Limits) -> Outcome:
    left = [finding for finding in found if not all(person_key(name) in acknowledged for name in finding.people)]
    people = list(dict.fromkeys(name for finding in left for name in finding.people))
    allowed, key = _allowed(check, scope, limits)
    strict = scope.is_curated and any(finding.enrolled for finding in left) and check != PEOPLE
    reports = limits.action == "report" or scope.enrolled is None
    passed = reports or (len(people) <= allowed and not strict)
    sentences = [shown(finding.sentence) for finding in left]
    counted = "" if not key or strict else f" ({len(people):,} people, {key} allows {allowed:,})"
    if not left:
        text = f"{CHECKS[check]}{f'; {len(found):,} exceptions are acknowledged' if found else ''}"
    elif passed:
        text = f"reported, not refused{counted}: {_some(sentences)}"
    else:
        text = f"{_some(sentences)}{counted}. {_cure(people)}"
    return Outcome(passed, text, sentences, len(found) - len(left))


def _allowed(check: str, scope: Scope, limits: Limits) -> tuple[int, str]:
    """The number of people in doubt that a check tolerates, and the parameter that says so."""
    if check == FACES:
        return 0, ""
    if check == PEOPLE:
        return int(limits.max_vanished * (scope.enrolled or 0)), "gallery.max_vanished"
    return int(limits.max_doubtful * scope.touched), "gallery.max_doubtful"


def _cure(people: Sequence[str]) -> str:
    """The sentence with the trailers by which a commit acknowledges these people."""
    names = [shown(name) for name in people[:SHOWN]]
    options = " ".join(f"--acknowledge {shlex.quote(name)}" for name in names)
    lines = ", ".join(f"`{trailer(name)}`" for name in names)
    more = f" (and {len(people) - SHOWN:,} more people)" if len(people) > SHOWN else ""
    return f"Mend the gallery and commit; or, where it is meant, run `face-assets commit -m … {options}`, which writes {lines}{more}"


def _some(sentences: Sequence[str]) -> str:
    return "; ".join(sentences[:SHOWN]) + (f"; and {len(sentences) - SHOWN:,} more" if len(sentences) > SHOWN else "")
