"""Comparison of a candidate with a release on the same labelled photos: differences with intervals, and people no longer recognized."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from face_assets.biometrics.paired_bootstrap import Counts, Interval, Scored, difference_interval
from face_assets.biometrics.recognition import Recognition
from face_assets.core.params import Evaluation

MAJORITY = 0.5


@dataclass(frozen=True)
class Difference:
    """A figure of the candidate and of the release. loss: by how much the candidate's is worse, by paired bootstrap over people."""

    name: str
    now: float
    before: float
    loss: Interval

    def to_json(self) -> dict[str, Any]:
        """JSON-able values."""
        return {"now": round(self.now, 6), "before": round(self.before, 6), "loss": self.loss.to_json()}


@dataclass(frozen=True)
class Comparison:
    """A candidate compared with a release, on the labelled photos of people of whom neither has learned.

    failures: photos in which the candidate and the release find no face. differences: of TAR at FAR, or of AUC where the pairs are too few,
    and of FNIR at FPIR where the searches are not too few. lost: names of the people whom the release recognizes and the candidate does
    not, of `recognized` whom the release does. A person is recognized where most of the searches with their photos find them.
    """

    version: str
    photos: int
    failures: tuple[int, int]
    people: int
    differences: list[Difference]
    lost: list[str]
    recognized: int

    def to_json(self) -> dict[str, Any]:
        """JSON-able values."""
        return {
            "release": self.version,
            "photos": self.photos,
            "failures_to_acquire": list(self.failures),
            "people": self.people,
            "figures": {one.name: one.to_json() for one in self.differences},
            "people_lost": len(self.lost),
            "people_recognized": self.recognized,
        }


def compare_recognition(version: str, found: tuple[Recognition, Recognition], names: Sequence[str], asked: Evaluation) -> Comparison:
    """Compares the candidate and the release `version`. found: counts of both, of the same people; names: (people,)."""
    candidate, release = found
    far, fpir, confidence, seed = asked.far, asked.fpir, asked.confidence, asked.seed
    pairs = {f"TAR at FAR {far:g}": (candidate.accepted, release.accepted), "AUC": (candidate.ranked, release.ranked)}
    differences = [_difference(name, *both, confidence, seed) for name, both in pairs.items() if all(both)][:1]
    if candidate.found and release.found:
        searches = _difference(f"FNIR at FPIR {fpir:g}", candidate.found, release.found, confidence, seed)
        differences.append(replace(searches, now=1 - searches.now, before=1 - searches.before))
    lost, recognized = _lost(candidate.found, release.found, names)
    return Comparison(version, candidate.photos, (candidate.failures, release.failures), len(names), differences, lost, recognized)


def _difference(name: str, now: Counts | Scored | None, before: Counts | Scored | None, confidence: float, seed: int) -> Difference:
    assert now and before
    return Difference(name, now.share, before.share, difference_interval(before, now, confidence, seed))


def _lost(now: Counts | Scored | None, before: Counts | Scored | None, names: Sequence[str]) -> tuple[list[str], int]:
    """Names of the people lost, and the number of people whom the release recognizes."""
    if not now or not before:
        return [], 0
    known = before.hits > MAJORITY * before.trials
    lost = known & (now.hits < MAJORITY * now.trials)
    return [name for name, gone in zip(names, lost, strict=True) if gone], int(known.sum())
