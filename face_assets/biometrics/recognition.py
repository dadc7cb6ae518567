"""Recognition of labelled test photos at thresholds of other people: counts for each person, over all photos, found or not.

A photo in which no face is found is missed in each of its mated pairs and searches (failure to acquire and to enrol are part of FNMR and
FNIR: ISO/IEC 19795-1, generalized false rejection). The thresholds come from the calibration people. So a recognizer that finds a photo
less has no better figure here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from face_assets.biometrics.drawn_thresholds import identification_thresholds, verification_thresholds
from face_assets.biometrics.labelled import Labelled
from face_assets.biometrics.paired_bootstrap import Counts, Scored
from face_assets.biometrics.verification import ABOVE_EVERY_COSINE, BINS, above_every, bin_of, count_scores, require_finite, tar_at_far
from face_assets.biometrics.verification import Counts as Histogram

HAIR = 1e-4
ENOUGH = 3
"""Fewest non-mated pairs, and searches of strangers, that a threshold is to let through, for a source to be taken."""


@dataclass(frozen=True)
class OperatingPoint:
    """Thresholds of one recognizer, by the calibration people.

    verification: for `far`; identification: for `fpir` in a gallery of so many people as the test has. None where the labels of the
    calibration people are too few to show the rate, whatever is found of them; where the found photos are too few, nobody is accepted
    below their highest score. accuracy: the threshold of the best balanced accuracy. outranked: (BINS,), the share of their non-mated
    pairs that a score in each bin exceeds. sources: places of the sources that the thresholds of pairs, of searches and of accuracy are
    by. drawn: the first two in each draw of those people, (DRAWS,) each, empty for one that is None.
    """

    verification: float | None
    identification: float | None
    accuracy: float
    outranked: npt.NDArray[np.float64]
    sources: tuple[int, int, int]
    drawn: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Recognition:
    """Counts of one recognizer for each test person.

    ranked: mated pairs, each with the share of the calibration people's non-mated pairs that score lower; accepted: mated pairs at the
    threshold of verification; found: searches that reach the threshold of identification. None without that threshold.
    accuracy: mean of the shares of mated pairs accepted and of non-mated pairs rejected; a pair with a missing face is neither.
    false_accepts: share of the found non-mated pairs that reach the threshold of verification (FAR of the test people, which is near the
    requested one and not the same for two recognizers). strangers_accepted: share of found photos that reach the threshold with another
    person's template (FPIR in this gallery).
    """

    photos: int
    failures: int
    ranked: Counts
    accepted: Scored | None
    found: Scored | None
    accuracy: float
    false_accepts: float | None
    strangers_accepted: float | None
    point: OperatingPoint

    @property
    def mated_people(self) -> int:
        """People with two photos or more."""
        return int((self.ranked.trials > 0).sum())

    @property
    def auc(self) -> float:
        """Probability that a mated pair of the test outranks a non-mated pair of the calibration people; 0 for one with a missing face."""
        return self.ranked.share

    @property
    def tar(self) -> float | None:
        """Share of mated pairs accepted: 1 - FNMR, generalized."""
        return self.accepted.share if self.accepted else None

    @property
    def fnir(self) -> float | None:
        """Share of searches of enrolled people that do not find them."""
        return 1 - self.found.share if self.found else None

    def to_json(self) -> dict[str, Any]:
        """The figures and thresholds as JSON-able values."""
        figures = {"auc": self.auc, "accuracy": self.accuracy, "tar": self.tar, "far": self.false_accepts}
        figures |= {"fnir": self.fnir, "fpir": self.strangers_accepted}
        thresholds = {"verification_threshold": self.point.verification, "identification_threshold": self.point.identification}
        rounded = {name: None if value is None else round(value, 6) for name, value in {**figures, **thresholds}.items()}
        return {"photos": self.photos, "failures_to_acquire": self.failures, **rounded}


def operating_point(sources: Sequence[Labelled], far: float, fpir: float, enrolled: int, seed: int = 0) -> OperatingPoint:
    """Thresholds of a recognizer; enrolled: people of the gallery in which searches are to be made.

    sources: the calibration people, then others for rates that these are too few to show. Which source is taken depends on the labels
    alone, so it is the same one for every recognizer. Raises UserError for embeddings that are not finite.
    """
    for source in sources:
        require_finite(source.embeddings)
    pairs = _first([_non_mated(source) * far for source in sources])
    searches = _first([len(source.people) * _stranger_rate(source, fpir, enrolled) for source in sources])
    both = next((place for place in (pairs, *range(len(sources))) if sources[place].mated_pairs.any()), pairs)
    genuine, impostor = count_scores(sources[pairs].embeddings, sources[pairs].found_people)
    counted = (genuine, impostor) if both == pairs else count_scores(sources[both].embeddings, sources[both].found_people)
    verification = _verification(genuine, impostor, far) if int(_non_mated(sources[pairs]) * far) else None
    rate = _stranger_rate(sources[searches], fpir, enrolled)
    identification = _identification(sources[searches], rate)
    none = np.zeros(0)
    return OperatingPoint(
        verification=verification,
        identification=identification,
        accuracy=_most_accurate(*counted),
        outranked=(np.cumsum(impostor) - impostor / 2) / max(impostor.sum(), 1),
        sources=(pairs, searches, both),
        drawn=(
            none if verification is None else verification_thresholds(sources[pairs], far, verification, seed),
            none if identification is None else identification_thresholds(sources[searches], rate, identification, seed),
        ),
    )


def _first(allowed: list[float]) -> int:
    """The first source with ENOUGH, or else the one with most."""
    return next((place for place, one in enumerate(allowed) if one >= ENOUGH), int(np.argmax(allowed)))


def _non_mated(labelled: Labelled) -> int:
    return len(labelled.people) * (len(labelled.people) - 1) // 2 - int(labelled.mated_pairs.sum())


def _stranger_rate(labelled: Labelled, fpir: float, enrolled: int) -> float:
    """The FPIR among these people, each a stranger to the others, that is `fpir` among `enrolled`.

    A search of N people finds somebody in 1 - (1 - p)^N of cases, if p is the rate for one.
    """
    return float(1 - (1 - fpir) ** (max(labelled.count - 1, 0) / max(enrolled, 1)))


def _verification(genuine: Histogram, impostor: Histogram, far: float) -> float:
    """Threshold for `far`; just above the highest non-mated score where the found pairs are too few."""
    found = tar_at_far(genuine, impostor, far).threshold
    return above_every(impostor) if found is None else found


def _most_accurate(genuine: Histogram, impostor: Histogram) -> float:
    """Threshold of the best balanced accuracy."""
    rejected, missed = np.cumsum(impostor) - impostor, np.cumsum(genuine) - genuine
    shares = rejected / max(impostor.sum(), 1) - missed / max(genuine.sum(), 1)
    return float(int(shares.argmax()) / (BINS / 2) - 1)


def _identification(strangers: Labelled, rate: float) -> float | None:
    """Threshold at which a share `rate` of the strangers' searches finds somebody; None where the labels are too few."""
    if not int(rate * len(strangers.people)):
        return None
    scores = np.sort(strangers.stranger_scores)[::-1]
    return float(scores[int(rate * len(scores))]) + HAIR if len(scores) else ABOVE_EVERY_COSINE


def recognition(test: Labelled, point: OperatingPoint) -> Recognition:
    """Counts of a recognizer on the test people at its operating point."""
    pairs = test.mated_pairs.astype(np.float64)
    _, impostor = count_scores(test.embeddings, test.found_people)
    rejected = int(impostor[: int(bin_of(np.array(point.accuracy)))].sum())
    accurate = Counts(test.mated_sums(lambda scores: scores >= point.accuracy), pairs)
    return Recognition(
        photos=len(test.people),
        failures=test.failures,
        ranked=Counts(test.mated_sums(lambda scores: point.outranked[bin_of(scores)]), pairs),
        accepted=None if point.verification is None else Scored(*test.mated_scores(), pairs, point.verification, point.drawn[0]),
        found=None if point.identification is None else _searches(test, point.identification, point.drawn[1]),
        accuracy=(accurate.share + rejected / max(_non_mated(test), 1)) / 2,
        false_accepts=_false_accepts(impostor, point.verification),
        strangers_accepted=_strangers_accepted(test, point.identification),
        point=point,
    )


def _searches(test: Labelled, threshold: float, thresholds: npt.NDArray[np.float64]) -> Scored:
    """Searches of people with two photos or more."""
    searched = test.photos > 1
    rows = searched[test.people]
    trials = np.where(searched, test.photos, 0).astype(np.float64)
    return Scored(test.people[rows], test.mated_search_scores()[rows], trials, threshold, thresholds)


def _false_accepts(impostor: Histogram, threshold: float | None) -> float | None:
    if threshold is None or not impostor.any():
        return None
    return float(impostor[int(bin_of(np.array(threshold))) :].sum() / impostor.sum())


def _strangers_accepted(test: Labelled, threshold: float | None) -> float | None:
    return None if threshold is None or not len(test.found) else float((test.stranger_scores >= threshold).mean())
