"""Figures for each group of an attribute, with intervals by bootstrap over people."""

import csv
import io
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from face_assets.biometrics.labelled import Labelled
from face_assets.biometrics.rate_interval import rate_interval
from face_assets.core.errors import UserError

MIN_PEOPLE = 10
"""Fewest people with two or more photos for an interval over people."""
DRAWS = 200
BINS = 4096
MOST_PAIRS = 1_000_000
"""Largest number of non-mated pairs for the intervals; the figures take all."""
KEYS = ("identity", "photo")
Pairs = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int32]]


@dataclass(frozen=True)
class Figure:
    """A figure with the interval of 95 % of the draws. value is None if the pairs are too few."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Group:
    """A group's figures; without figures, but with a note, if it has too few people. A mated pair with a photo in which no face is found is
    missed in all of them.

    people: of the test split; with_pairs: those with two or more photos. accept_rate and false_accept_rate are at the release's
    threshold. Both people of a non-mated pair are in the group.
    """

    name: str
    people: int
    with_pairs: int
    photos: int
    figures: dict[str, Figure] = field(default_factory=dict)
    note: str = ""


def composed(text: str) -> str:
    """A key without surrounding blanks, in Unicode's composed form (NFC), in which macOS and Linux agree."""
    return unicodedata.normalize("NFC", text.strip())


def read_attributes(content: bytes, where: str) -> tuple[str, dict[str, dict[str, str]]]:
    """Reads a CSV file whose first column is `identity` or `photo` (a path below photos/) and whose others are attributes.

    Returns the kind of key, and attribute → key → group, all `composed`. Raises UserError that names the line.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{where} is not UTF-8 text: {error}") from error
    rows = csv.reader(io.StringIO(text))
    try:
        return _read_rows(rows, where)
    except csv.Error as error:
        raise UserError(f"{where}, line {rows.line_num}: {error}.") from error


def _read_rows(rows: Iterator[list[str]], where: str) -> tuple[str, dict[str, dict[str, str]]]:
    header = [composed(name) for name in next(rows, [])]
    if len(header) < 2 or header[0] not in KEYS or len(set(header)) < len(header) or not all(header):
        raise UserError(f"{where}, line 1: the first column is `identity` or `photo`, and at least one attribute follows; found {header}.")
    found: dict[str, dict[str, str]] = {name: {} for name in header[1:]}
    for line, row in enumerate(rows, start=2):
        if not any(row):
            continue
        if len(row) != len(header):
            raise UserError(f"{where}, line {line}: {len(header)} columns are needed, found {len(row)}.")
        key, *groups = (composed(cell) for cell in row)
        for name, group in zip(header[1:], groups, strict=True):
            known = found[name].setdefault(key, group)
            if known != group:
                raise UserError(f"{where}, line {line}: {key!r} is {group!r} here and {known!r} before.")
    return header[0], found


def by_group(photos: Labelled, groups: Sequence[str], threshold: float, fars: Sequence[float], seed: int) -> list[Group]:
    """Figures of each group. groups: (n,) names, "" for none, of all labelled photos."""
    named = np.array(groups)
    names = [str(name) for name in np.unique(named) if name]
    return [_group(name, photos.of_photos(named == name), threshold, fars, seed) for name in names]


def _group(name: str, photos: Labelled, threshold: float, fars: Sequence[float], seed: int) -> Group:
    with_pairs = int((photos.photos >= 2).sum())
    facts = {"name": name, "people": photos.count, "with_pairs": with_pairs, "photos": len(photos.people)}
    if with_pairs < MIN_PEOPLE:
        note = f"{name}: {with_pairs} test people with two photos or more, too few for a figure; {MIN_PEOPLE} are needed"
        return Group(**facts, note=note)  # type: ignore[arg-type]
    random = np.random.default_rng(seed)
    genuine, impostor, all_impostor = _pairs(photos.embeddings, photos.found_people, random)
    missed = np.repeat(np.arange(photos.count, dtype=np.int32), photos.missed_pairs)
    genuine = tuple(np.concatenate(both) for both in zip(genuine, (np.zeros_like(missed), missed, missed), strict=True))  # type: ignore[assignment]
    ones = np.ones(photos.count)
    own = _weighted(genuine, ones)
    points = _figures(own, all_impostor, threshold, fars)
    draws: dict[str, list[float]] = {key: [] for key in points}
    for _ in range(DRAWS):
        times = np.bincount(random.integers(photos.count, size=photos.count), minlength=photos.count).astype(float)
        drawn = _figures(_weighted(genuine, times, alone=True), _weighted(impostor, times), threshold, fars, all_impostor.sum())
        for key, value in drawn.items():
            if value is not None:
                draws[key].append(value)
    return Group(**facts, figures={key: _interval(value, draws[key]) for key, value in points.items()})  # type: ignore[arg-type]


def _interval(value: float | None, draws: list[float]) -> Figure:
    if value is None or not draws:
        return Figure(None)
    low, high = np.percentile(draws, (2.5, 97.5))
    return Figure(round(value, 6), round(float(low), 6), round(float(high), 6))


def _pairs(
    embeddings: npt.NDArray[np.float32], places: npt.NDArray[Any], random: np.random.Generator
) -> tuple[Pairs, Pairs, npt.NDArray[Any]]:
    """Mated pairs and at most MOST_PAIRS non-mated ones as (bin, person, other), and the histogram (BINS,) of all non-mated ones."""
    histogram = np.zeros(BINS)
    genuine: list[Pairs] = []
    impostor: list[Pairs] = []
    share = min(1.0, MOST_PAIRS / max(1, len(embeddings) * (len(embeddings) - 1) / 2))
    for row in range(len(embeddings) - 1):
        scores = embeddings[row + 1 :] @ embeddings[row]
        bins = np.clip((scores + 1) * (BINS / 2), 0, BINS - 1).astype(np.int32)
        others = places[row + 1 :].astype(np.int32)
        same = others == places[row]
        mine = np.full(len(others), places[row], np.int32)
        histogram += np.bincount(bins[~same], minlength=BINS)
        genuine.append((bins[same], mine[same], others[same]))
        kept = ~same & (random.random(len(others)) < share) if share < 1 else ~same
        impostor.append((bins[kept], mine[kept], others[kept]))
    if not genuine:
        return (*((np.zeros(0, np.int32),) * 3,) * 2, histogram)
    joined = [tuple(np.concatenate(part) for part in zip(*found, strict=True)) for found in (genuine, impostor)]
    return joined[0], joined[1], histogram  # type: ignore[return-value]


def _weighted(pairs: Pairs, times: npt.NDArray[Any], alone: bool = False) -> npt.NDArray[Any]:
    """Histogram (BINS,) of pairs with each person `times` times. `alone`: of mated pairs, weighted by one person."""
    bins, first, second = pairs
    weights = times[first] if alone else times[first] * times[second]
    return np.bincount(bins, weights=weights, minlength=BINS)


def _figures(
    genuine: npt.NDArray[Any], impostor: npt.NDArray[Any], threshold: float, fars: Sequence[float], pairs: float | None = None
) -> dict[str, float | None]:
    """AUC, EER, accuracy, rates at the threshold, and TAR at each FAR for which `pairs` suffice, to a bin's width."""
    ours, theirs = genuine.sum(), impostor.sum()
    names = ("auc", "eer", "accuracy", "accept_rate", "false_accept_rate", *(f"tar_at_far_{far:g}" for far in fars))
    if not ours or not theirs:
        return dict.fromkeys(names)
    true_rates = np.append(np.cumsum(genuine[::-1])[::-1] / ours, 0.0)
    false_rates = np.append(np.cumsum(impostor[::-1])[::-1] / theirs, 0.0)
    below = np.cumsum(impostor) - impostor / 2
    place = int(np.clip(np.ceil((threshold + 1) * (BINS / 2)), 0, BINS))
    crossing = int(np.argmin(np.abs(1 - true_rates - false_rates)))
    accept, false_accept = float(true_rates[place]), float(false_rates[place])
    found: list[float | None] = [
        float((genuine * below).sum() / (ours * theirs)),
        float((1 - true_rates[crossing] + false_rates[crossing]) / 2),
        float((accept + 1 - false_accept) / 2),
        accept,
        false_accept,
    ]
    known = theirs if pairs is None else pairs
    found += [float(true_rates[int(np.argmax(false_rates <= far))]) if far * known >= 1 else None for far in fars]
    return dict(zip(names, found, strict=True))


@dataclass(frozen=True)
class Gap:
    """A difference of accept rates between two measured groups of an attribute, at the release's threshold.

    least: the low end of its interval, so that the true gap of any two groups of the attribute lies below with 1 - confidence at most.
    """

    attribute: str
    worst: str
    best: str
    gap: float
    least: float

    def sentence(self, groups: Mapping[str, Figure]) -> str:
        """Sentence about the gap, with both intervals."""
        worst, best = groups[self.worst], groups[self.best]
        return (
            f"{self.attribute}: people of {self.worst} are recognized {worst.value:.1%} of the time ({worst.low:.1%} to {worst.high:.1%}), "
            f"of {self.best} {best.value:.1%} ({best.low:.1%} to {best.high:.1%})"
        )


def gaps(found: Mapping[str, Sequence[Group]], confidence: float = 0.95) -> list[tuple[Gap, str]]:
    """The gap of each attribute that has two measured groups, and its sentence: of two groups the one that is surest, by its low end."""
    listed = []
    for attribute, groups in found.items():
        rates = {group.name: rate for group in groups if (rate := group.figures.get("accept_rate", Figure(None))).value is not None}
        people = {group.name: group.with_pairs for group in groups}
        pairs = list(combinations(sorted(rates, key=lambda name: rates[name].value or 0.0), 2))
        if pairs:
            of_each = 1 - (1 - confidence) / len(pairs)  # Bonferroni: the surest of several gaps is more often chance
            every = [_gap(attribute, worst, best, rates, people, of_each) for worst, best in pairs]
            gap = max(every, key=lambda one: (one.least, one.gap))
            listed.append((gap, gap.sentence(rates)))
    return listed


def _gap(attribute: str, worst: str, best: str, rates: Mapping[str, Figure], people: Mapping[str, int], confidence: float) -> Gap:
    """The gap of two groups. Its low end is by the square-and-add method (Newcombe 1998, method 10) from the exact intervals of both
    rates, in which people are the trials, since the pairs of a person depend on one another."""
    low, high = rates[worst].value or 0.0, rates[best].value or 0.0
    spread = 2 * confidence - 1
    above = rate_interval(low, people[worst], spread)[1] - low
    below = high - rate_interval(high, people[best], spread)[0]
    return Gap(attribute, worst, best, high - low, high - low - float(np.hypot(above, below)))


def judge_gaps(found: Mapping[str, Sequence[Group]], bound: float, confidence: float = 0.95) -> tuple[list[str], list[str]]:
    """Reasons of the gate by evaluation.max_group_gap, and notes about groups that are too small and gaps that may be chance."""
    notes = small_groups(found)
    if bound >= 1.0:
        return [], notes
    measured = gaps(found, confidence)
    reasons = []
    for gap, sentence in measured:
        apart = f"{sentence}: {gap.gap:.3f} apart"
        if gap.least > bound:
            surely = f"at least {gap.least:.3f} at evaluation.confidence {confidence:g}"
            reasons.append(f"{apart}, {surely}, more than evaluation.max_group_gap {bound:g}")
        elif gap.gap > bound:
            notes.append(f"{apart}, more than evaluation.max_group_gap {bound:g}, but with so few people it may be chance")
    comparable = {gap.attribute for gap, _ in measured}
    notes += [
        f"{name}: no two groups are large enough, so evaluation.max_group_gap is not shown to hold"
        for name in found
        if name not in comparable
    ]
    return reasons, notes


def small_groups(found: Mapping[str, Sequence[Group]]) -> list[str]:
    """Notes about groups that are too small for figures."""
    return [group.note for groups in found.values() for group in groups if group.note]


def judge_false_matches(found: Mapping[str, Sequence[Group]], bound: float) -> list[str]:
    """Reasons of the gate by evaluation.max_group_fmr: groups whose false match rate is above it even at the low end of its interval.

    A photo without a found face makes no false match: that its pairs are missed is bounded by evaluation.max_group_gap.
    """
    reasons = []
    for attribute, groups in found.items():
        for group in groups:
            rate = group.figures.get("false_accept_rate", Figure(None))
            if rate.low is not None and rate.low > bound:
                reasons.append(
                    f"{attribute}: two people of {group.name} are taken for one in {rate.value:.2%} of pairs ({rate.low:.2%} to "
                    f"{rate.high:.2%}), more than evaluation.max_group_fmr {bound:g}"
                )
    return reasons


def to_json(found: Mapping[str, Sequence[Group]]) -> dict[str, Any]:
    """JSON-able values: attribute → group → facts."""
    return {attribute: {group.name: asdict(group) for group in groups} for attribute, groups in found.items()}
