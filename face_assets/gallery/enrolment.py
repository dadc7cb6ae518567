"""Enrolment: templates of people, and the threshold of identification."""

import io
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from face_assets.biometrics.blocks import blocks
from face_assets.biometrics.cross_fit import Rate, stranger_rate
from face_assets.biometrics.impostor_scores import ImpostorScores
from face_assets.biometrics.score_blocks import groups_of
from face_assets.biometrics.stranger_rates import StrangerRates, stranger_rates
from face_assets.biometrics.thresholds import Threshold, identification_threshold
from face_assets.core.files import new_file
from face_assets.core.rows import Rows
from face_assets.detection.steps import Face

Floats = npt.NDArray[np.float32]
THEN = (1980, 1, 1, 0, 0, 0)
FACES_AT_ONCE = 250_000
"""Faces whose embeddings are in memory at a time."""
PEOPLE_AT_ONCE = 1_000_000
"""People of a larger gallery are searched in parts, so that a block of scores has many probes."""
PART = 250_000
UNSURE = 1e-5
"""Scores nearer to each other, or to a threshold, are computed once more as one search computes them: a block may round otherwise."""
FOLDS = 5
NOBODY = -2.0


@dataclass(frozen=True)
class Enrolled:
    """Enrolled people.

    names: sorted; templates: float32 (people, d), the normalised mean of each person's embeddings; counts: photos; sums: float32
    (people, d), of the embeddings.
    """

    names: list[str]
    templates: Floats
    counts: npt.NDArray[np.int64]
    sums: Floats


@dataclass(frozen=True)
class Calibration:
    """The threshold of identification, and the FPIR on strangers who did not choose it.

    fpir: None without strangers. rates: of strangers by score.
    held_out: (n,) for each probe, the threshold that all but its fold of people chose.
    """

    threshold: Threshold
    fpir: Rate | None
    strangers: int
    rates: StrangerRates
    held_out: npt.NDArray[np.float64]

    def to_json(self) -> dict[str, Any]:
        """JSON-able values."""
        measured = self.fpir.to_json() if self.fpir else None
        return {"threshold": self.threshold.to_json(), "fpir": measured, "strangers": self.strangers}


def templates_of(embeddings: Floats, identities: Sequence[str]) -> Enrolled:
    """Templates of people, one for each. embeddings: float32 (n, d) of unit length."""
    names, places = np.unique(np.array(identities, dtype=object).astype(str), return_inverse=True)
    sums = np.zeros((len(names), embeddings.shape[1]), np.float64)
    np.add.at(sums, places, embeddings)
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    templates = (sums / np.maximum(norms, 1e-12)).astype(np.float32)
    return Enrolled([str(name) for name in names], templates, np.bincount(places), sums.astype(np.float32))


def enrolled_from(faces: Sequence[Face], vectors: Callable[[Sequence[str]], Floats], folder: Path) -> Enrolled:
    """The people of faces. vectors: embeddings float32 (n, d) of unit length by keys of crops; folder: for `templates_by_person`."""
    if isinstance(faces, Rows) and len(faces) > FACES_AT_ONCE:
        return templates_by_person(faces, vectors, FACES_AT_ONCE, folder)
    return templates_of(vectors([face.crop_key for face in faces]), [face.identity for face in faces])


def templates_by_person(faces: Rows[Face], vectors: Callable[[Sequence[str]], Floats], at_once: int, folder: Path) -> Enrolled:
    """The same for millions of faces, of which some `at_once` have an embedding in memory.

    vectors: embeddings float32 (n, d) of crops. folder: for the sums, which stay on disk until they are no longer used.
    """
    people = faces.names("identity")
    names = sorted(people.names)
    ranks = {name: rank for rank, name in enumerate(names)}
    codes = np.array([ranks[name] for name in people.names], np.int32)[people.codes]
    del ranks
    counts = np.bincount(codes, minlength=len(names))
    order, stops = np.argsort(codes, kind="stable"), np.cumsum(counts)
    templates: Floats | None = None
    with tempfile.TemporaryFile(dir=folder) as file:
        start = 0
        while start < len(names):
            before = int(stops[start - 1]) if start else 0
            stop = max(start + 1, int(np.searchsorted(stops, before + at_once, side="right")))
            rows = order[before : stops[stop - 1]]
            embeddings = vectors(list(faces.at(rows).each("crop_key")))
            sums = np.zeros((stop - start, embeddings.shape[1]), np.float64)
            np.add.at(sums, codes[rows] - start, embeddings)
            templates = np.empty((len(names), embeddings.shape[1]), np.float32) if templates is None else templates
            templates[start:stop] = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
            file.write(sums.astype(np.float32).tobytes())
            start = stop
        assert templates is not None, "somebody is enrolled"
        file.flush()
        return Enrolled(names, templates, counts, np.memmap(file, np.float32, "r", shape=templates.shape))


def write_gallery(enrolled: Enrolled, directory: Path) -> None:
    """Writes gallery.npz (names, templates, counts), the same bytes for the same people."""
    arrays = {"templates": enrolled.templates, "names": np.array(enrolled.names, dtype=np.str_), "counts": enrolled.counts.astype(np.int64)}
    with new_file(directory / "gallery.npz") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            header = io.BytesIO()
            np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
            member = zipfile.ZipInfo(f"{name}.npy", THEN)
            member.file_size = len(header.getvalue()) + array.nbytes
            with archive.open(member, "w") as output:  # its size is known, so the header is that of a member written at once
                np.lib.format.write_array(output, array, allow_pickle=False)


def calibrate(
    enrolled: Enrolled, probes: Floats, identities: Sequence[str], fpir: float, confidence: float, known: ImpostorScores
) -> Calibration:
    """The threshold by searches of each probe in the gallery without its own person. probes: float32 (n, d).

    The FPIR is measured fold by fold: the people of the others, searched in the gallery without the fold, choose the threshold, and the
    fold's people are strangers to it as those are who come later.
    """
    people = np.array(identities, dtype=object).astype(str)
    names, places = np.unique(people, return_inverse=True)
    folds = groups_of(names.tolist(), FOLDS)
    best = stranger_scores(enrolled, probes, identities)
    threshold = _threshold(enrolled, best, people, len(enrolled.names), fpir, confidence, known)
    held_out = np.full(len(people), threshold.value)
    for fold in range(min(FOLDS, len(names))):
        inside = folds[places] == fold
        others = _without_people(enrolled, set(names[folds == fold].tolist()))
        scores = stranger_scores(others, probes[~inside], people[~inside].tolist())
        held_out[inside] = _threshold(others, scores, people[~inside], len(enrolled.names), fpir, confidence, known).value
    seen = best > NOBODY
    measured = stranger_rate(best[seen] >= held_out[seen], people[seen], confidence)
    rates = stranger_rates(best[seen], people[seen], len(enrolled.names), _searched(enrolled, people), known)
    return Calibration(threshold, measured, len(np.unique(people[seen])), rates, held_out)


def _threshold(
    enrolled: Enrolled, best: Floats, people: npt.NDArray[Any], size: int, fpir: float, confidence: float, known: ImpostorScores
) -> Threshold:
    """The threshold for a gallery of `size` by best scores (n,) of people (n,) among the enrolled."""
    seen = best > NOBODY
    return identification_threshold(best[seen], people[seen], size, _searched(enrolled, people), fpir, confidence, known)


def _searched(enrolled: Enrolled, people: npt.NDArray[Any]) -> int:
    """The number of people among whom a probe is searched: all others than its own."""
    return len(enrolled.names) - (not set(people.tolist()).isdisjoint(enrolled.names))


def _without_people(enrolled: Enrolled, names: set[str]) -> Enrolled:
    """The others, without the sums of their embeddings, which no score needs."""
    kept = np.flatnonzero([name not in names for name in enrolled.names])
    return Enrolled([enrolled.names[row] for row in kept], enrolled.templates[kept], enrolled.counts[kept], enrolled.sums[:0])


def stranger_scores(enrolled: Enrolled, probes: Floats, identities: Sequence[str]) -> Floats:
    """The best cosine (n,) of each probe with another person's template; NOBODY where no other person is enrolled."""
    if len(enrolled.names) == 0 or len(probes) == 0:
        return np.full(len(probes), NOBODY, np.float32)
    rows = _rows_of(enrolled, identities)
    own = np.array([rows.get(name, -1) for name in identities])
    best = np.full(len(probes), NOBODY, np.float32)
    for people in _parts(enrolled):
        for part in blocks(len(probes), people.stop - people.start):
            scores = probes[part] @ enrolled.templates[people].T
            places = own[part] - people.start
            known = np.flatnonzero((places >= 0) & (places < scores.shape[1]))
            scores[known, places[known]] = NOBODY
            best[part] = np.maximum(best[part], scores.max(axis=1))
    return best


def nearest_people(enrolled: Enrolled, probes: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
    """The row (n,) of the person nearest to each probe, and the cosine (n,) with its template, by an exact search."""
    best, top = np.full(len(probes), -1, np.int64), np.full(len(probes), -np.inf, np.float32)
    for people in _parts(enrolled):
        for part in blocks(len(probes), people.stop - people.start):
            scores = probes[part] @ enrolled.templates[people].T
            is_nearer = scores.max(axis=1) > top[part]
            best[part] = np.where(is_nearer, scores.argmax(axis=1) + people.start, best[part])
            top[part] = np.maximum(top[part], scores.max(axis=1))
    return best, (enrolled.templates[best] * probes).sum(axis=1)


def _rows_of(enrolled: Enrolled, identities: Iterable[str]) -> dict[str, int]:
    """The rows of those of `identities` who are enrolled."""
    wanted = set(identities)
    return {name: row for row, name in enumerate(enrolled.names) if name in wanted}


def _parts(enrolled: Enrolled) -> list[slice]:
    """Rows that are searched together: all of them, or PART at a time."""
    people = len(enrolled.names)
    step = people if people <= PEOPLE_AT_ONCE else PART
    return [slice(start, min(people, start + step)) for start in range(0, people, step)]


def identification_figures(
    enrolled: Enrolled, embeddings: Floats, identities: Sequence[str], inside: Sequence[bool], thresholds: npt.NDArray[Any]
) -> Mapping[str, int | float]:
    """Counts of searches: right, wrong or refused (no match) for enrolled people, and strangers who match somebody.

    enrolled counts the searches, and enrolled_people the people who searched.

    thresholds: (n,), one for each photo. inside: the photo is part of its person's template. It is taken out first, so that no photo
    finds itself, and people with this one photo count as strangers.
    """
    rows, searched = _rows_of(enrolled, identities), set()
    counts = {"enrolled": 0, "enrolled_people": 0, "right": 0, "wrong": 0, "refused": 0, "strangers": 0, "strangers_accepted": 0}
    own = np.array([rows.get(name, -1) for name in identities])
    left = [
        _without(enrolled, row, vector) if is_own and row >= 0 else None
        for vector, row, is_own in zip(embeddings, own, inside, strict=True)
    ]
    for place, found in enumerate(_searches(enrolled, embeddings, own, left, thresholds)):
        known = own[place] >= 0 and left[place] != NOBODY
        if known:
            searched.add(identities[place])
            counts["enrolled"] += 1
            counts["refused" if not found.is_accepted else "right" if found.row == own[place] else "wrong"] += 1
        else:
            counts["strangers"] += 1
            counts["strangers_accepted"] += found.is_accepted
    counts["enrolled_people"] = len(searched)
    return counts


class _Search(NamedTuple):
    row: int
    is_accepted: bool


def _searches(
    enrolled: Enrolled, probes: Floats, own: npt.NDArray[np.int64], left: Sequence[float | None], thresholds: npt.NDArray[Any]
) -> list[_Search]:
    """The nearest person of each probe, and whether the score reaches its threshold.

    left: the score with one's own person (row `own`) without this photo; None to compute it as any other.
    """
    best = np.full(len(probes), -1, np.int64)
    top, second = np.full(len(probes), -np.inf, np.float32), np.full(len(probes), -np.inf, np.float32)
    for people in _parts(enrolled):
        for part in blocks(len(probes), people.stop - people.start):
            scores = probes[part] @ enrolled.templates[people].T
            for row, place in enumerate(range(part.start, part.stop)):
                if left[place] is not None and people.start <= own[place] < people.stop:
                    scores[row, own[place] - people.start] = left[place]
            every, nearest = np.arange(len(scores)), scores.argmax(axis=1)
            highest = scores[every, nearest]
            scores[every, nearest] = -np.inf
            second[part] = np.maximum(np.minimum(top[part], highest), np.maximum(second[part], scores.max(axis=1)))
            is_nearer = highest > top[part]
            best[part], top[part] = np.where(is_nearer, nearest + people.start, best[part]), np.maximum(top[part], highest)
    unsure = (top - second < UNSURE) | (np.abs(top - thresholds) < UNSURE)
    for place in np.flatnonzero(unsure).tolist():
        scores = enrolled.templates @ probes[place]
        if left[place] is not None:
            scores[own[place]] = left[place]
        best[place], top[place] = scores.argmax(), scores.max()
    return [_Search(int(row), bool(score >= threshold)) for row, score, threshold in zip(best, top, thresholds, strict=True)]


def _without(enrolled: Enrolled, row: int, vector: Floats) -> float:
    """Cosine of a photo with its person's template made without it; NOBODY if it is the only photo."""
    if enrolled.counts[row] < 2:
        return NOBODY
    rest = enrolled.sums[row] - vector
    return float(rest @ vector / max(float(np.linalg.norm(rest)), 1e-12))
