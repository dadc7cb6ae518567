"""The stress table: how often people are recognized, and faces found, on photos degraded before detection.

A few photos of the test people, chosen by content, are degraded and compared with clean photos of theirs and of others, at the gate's
threshold. A degraded photo in which the subject's face is not found is missed in each of its mated comparisons (ISO/IEC 19795-1).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from face_assets.biometrics.labelled import Labelled
from face_assets.biometrics.paired_bootstrap import Interval, Scored
from face_assets.biometrics.rate_interval import rate_interval
from face_assets.biometrics.recognition import OperatingPoint
from face_assets.biometrics.simultaneous import simultaneous_losses
from face_assets.core.degradations import CLEAN, row_name, rows_of
from face_assets.core.params import Evaluation, Stress
from face_assets.evaluation.degraded_faces import Condition
from face_assets.evaluation.labelled_photos import LabelledPhotos

SHARE = 8
"""All degraded photos are one in so many of the data set's photos, since each costs about as much as one of a full run."""
FEWEST, MOST = 10, 1000
"""Photos in a row, at least and at most, unless params choose a number."""
REFERENCES = 5
"""Clean photos of its person with which a degraded photo is compared, at most, so that a person with hundreds does not decide a row."""
MOST_STRANGERS = 20_000
ENOUGH_PEOPLE = 20
"""Fewest people by whom a loss beside production is judged."""
EVERY = "every condition"
"""Name of the figure over all degraded photos."""

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sample:
    """The photos that are degraded, and the clean ones of their people.

    photos: places of the probes among the labelled test photos, (n,); people: number of each probe's person, (n,), from 0 in the sample;
    references: bool (n, labelled photos), the clean photos with which each is compared.
    """

    photos: Ints
    people: Ints
    references: Bools

    @property
    def count(self) -> int:
        """Number of people."""
        return int(self.people.max()) + 1 if len(self.people) else 0

    def of_probes(self, kept: Bools) -> "Sample":
        """Some of the probes, bool (n,), with their people numbered anew in the same order."""
        return Sample(self.photos[kept], np.unique(self.people[kept], return_inverse=True)[1], self.references[kept])


@dataclass(frozen=True)
class Row:
    """A row of the table for one recognizer. failures: probes whose subject's face is not found; compared: mated comparisons at the gate's
    threshold, None without one; false_accepts: share of comparisons of found probes with other people's clean photos that reach it."""

    condition: str
    strength: float | None
    photos: int
    people: int
    failures: int
    compared: Scored | None
    false_accepts: float | None

    @cached_property
    def name(self) -> str:
        """Its name in params, tables and sentences."""
        return row_name(self.condition, self.strength)

    @property
    def tar(self) -> float | None:
        """Share of the mated comparisons accepted: 1 - FNMR, with failures to acquire."""
        return self.compared.share if self.compared else None

    def to_json(self) -> dict[str, Any]:
        """JSON-able values. Intervals of 95 %: exact ones with people as the trials."""
        figures: dict[str, float | None] = {"tar": self.tar, "fta": self.failures / max(self.photos, 1), "fmr": self.false_accepts}
        for name in ("tar", "fta"):
            rate = figures[name]
            low, high = (None, None) if rate is None else rate_interval(rate, self.people)
            figures |= {f"{name}_low": low, f"{name}_high": high}
        rounded = {name: None if value is None else round(value, 6) for name, value in figures.items()}
        return {"condition": self.condition, "strength": self.strength, "photos": self.photos, "people": self.people, **rounded}


def table_rows(asked: Stress) -> list[Condition]:
    """Condition and strength of each row, after that of clean photos; empty without conditions."""
    rows = rows_of(asked.conditions)
    return [(CLEAN, None), *rows] if rows else []


def sample_of(photos: LabelledPhotos, asked: Stress, all_photos: int) -> Sample:
    """The probes of a data set of `all_photos`: one of each person with two photos or more, then a second one of each, by their md5s.

    So a commit that adds photos changes few of them.
    """
    person, rows = photos.people, len(table_rows(asked))
    mated = np.bincount(person, minlength=len(photos.names)) > 1
    order = np.array(sorted(range(len(photos.md5s)), key=photos.md5s.__getitem__), np.int64)
    order = order[mated[person[order]]]
    rank = np.zeros(len(photos.md5s), np.int64)
    seen = np.zeros(len(photos.names), np.int64)
    for place in order.tolist():
        rank[place] = seen[person[place]]
        seen[person[place]] += 1
    wanted = asked.photos or min(MOST, max(FEWEST, all_photos // (SHARE * max(rows, 1))))
    chosen = np.sort(order[np.argsort(rank[order], kind="stable")][:wanted]) if rows else order[:0]
    references = (person[chosen][:, None] == person[None]) & (rank[None] <= REFERENCES)
    references[np.arange(len(chosen)), chosen] = False
    crowded = references.sum(axis=1) > REFERENCES
    references[crowded] &= (rank < REFERENCES)[None]
    return Sample(chosen, np.unique(person[chosen], return_inverse=True)[1].astype(np.int64), references)


def measure(
    sample: Sample,
    clean: Labelled,
    point: OperatingPoint,
    conditions: Sequence[Condition],
    found: Sequence[tuple[Ints, npt.NDArray[np.float32]]],
) -> list[Row]:
    """The table's rows. clean: the labelled test photos by the recognizer; found: for each condition, places (k,) of the probes whose face
    is found, ascending, and their embeddings float32 (k, d)."""
    return [_row(sample, clean, point, condition, places, vectors) for condition, (places, vectors) in zip(conditions, found, strict=True)]


def _row(
    sample: Sample, clean: Labelled, point: OperatingPoint, condition: Condition, places: Ints, vectors: npt.NDArray[np.float32]
) -> Row:
    person = clean.people[sample.photos]
    trials = np.bincount(sample.people, sample.references.sum(axis=1), minlength=sample.count).astype(np.float64)
    compared = false_accepts = None
    if point.verification is not None:
        scores, people = [np.zeros(0, np.float32)], [np.zeros(0, np.int64)]
        accepted = strangers = 0
        few = slice(None, None, 1 + len(clean.found) // MOST_STRANGERS)
        for place, vector in zip(places.tolist(), vectors, strict=True):
            mated = sample.references[place][clean.found]
            scores.append(clean.embeddings[mated] @ vector)
            people.append(np.full(len(scores[-1]), sample.people[place]))
            others = clean.found_people[few] != person[place]
            accepted += int((others & (clean.embeddings[few] @ vector >= point.verification)).sum())
            strangers += int(others.sum())
        drawn = point.drawn[0]
        compared = Scored(np.concatenate(people), np.concatenate(scores), trials, point.verification, drawn) if trials.any() else None
        false_accepts = accepted / strangers if strangers else None
    failures = len(sample.photos) - len(places)
    return Row(*condition, len(sample.photos), sample.count, failures, compared, false_accepts)


def losses(now: Sequence[Row], before: Sequence[Row], asked: Evaluation) -> dict[str, tuple[float, float, Interval]]:
    """Figures of the candidate and of a release, and the loss, for each degraded row and over EVERY one; with intervals that hold together.

    now, before: rows of the same conditions and photos. Empty for fewer than ENOUGH_PEOPLE people.
    """
    pairs = {
        one.name: (one.compared, other.compared)
        for one, other in zip(now, before, strict=True)
        if one.condition != CLEAN and one.compared and other.compared
    }
    if not pairs or now[0].people < ENOUGH_PEOPLE:
        return {}
    compared: dict[str, tuple[Any, Any]] = dict(pairs)
    if len(pairs) > 1:
        ours, theirs = zip(*pairs.values(), strict=True)
        compared[EVERY] = _together(ours), _together(theirs)
    found = simultaneous_losses([(other, one) for one, other in compared.values()], asked.confidence, asked.seed)
    return {name: (one.share, other.share, loss) for (name, (one, other)), loss in zip(compared.items(), found, strict=True)}


def _together(parts: Sequence[Scored]) -> Scored:
    """The comparisons of several rows at the same threshold as one."""
    people, scores = (np.concatenate([getattr(one, name) for one in parts]) for name in ("people", "scores"))
    return Scored(people, scores, np.sum([one.trials for one in parts], axis=0), parts[0].threshold, parts[0].thresholds)


def judge_floors(rows: Sequence[Row], asked: Evaluation, conditions: Sequence[Condition]) -> list[str]:
    """Reasons of the gate by evaluation.stress.min_tar. rows: of the conditions, or none where there is no table."""
    reasons, measured = [], {row.name: row for row in rows}
    for name in (row_name(*one) for one in conditions):
        floor, row = asked.stress.min_tar.get(name, 0.0), measured.get(name)
        if floor <= 0:
            continue
        if row is None or row.tar is None:
            reasons.append(
                f"TAR at FAR {asked.far:g} on photos in the condition {name} cannot be told from so few people, so its floor of "
                f"{floor:g} in evaluation.stress.min_tar is not shown to be reached: add people, or choose a larger evaluation.far"
            )
        elif row.tar < floor:
            low, high = rate_interval(row.tar, row.people)
            missed = f"; in {row.failures:,} of {row.photos:,} photos its face is not found" if row.failures else ""
            reasons.append(
                f"TAR at FAR {asked.far:g} on photos in the condition {row.name} is {row.tar:.4f} ({low:.4f} to {high:.4f}), below its "
                f"floor of {floor:g} in evaluation.stress.min_tar{missed}"
            )
    return reasons


def judge_losses(found: Mapping[str, tuple[float, float, Interval]], version: str, asked: Evaluation) -> list[str]:
    """Reasons of the gate: conditions in which even the low end of the loss is more than the margin."""
    return [
        f"TAR at FAR {asked.far:g} in the condition {name} is {now:.4f} against {before:.4f} of {version} on the same photos: worse by "
        f"{loss.value:.4f} ({loss.low:.4f} to {loss.high:.4f}, for all conditions together at evaluation.confidence "
        f"{asked.confidence:g}), more than evaluation.max_regression {asked.max_regression:g}"
        for name, (now, before, loss) in found.items()
        if loss.low > asked.max_regression
    ]
