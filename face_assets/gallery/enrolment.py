"""Enrolment: templates of people, and the threshold of identification."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from face_assets.biometrics.blocks import blocks
from face_assets.biometrics.cross_fit import Rate, stranger_rate
from face_assets.biometrics.impostor_scores import ImpostorScores
from face_assets.biometrics.score_blocks import groups_of
from face_assets.biometrics.stranger_rates import StrangerRates, stranger_rates
from face_assets.biometrics.thresholds import Threshold, identification_threshold
from face_assets.core.files import write_bytes

Floats = npt.NDArray[np.float32]
THEN = (1980, 1, 1, 0, 0, 0)
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


def write_gallery(enrolled: Enrolled, directory: Path) -> None:
    """Writes gallery.npz (names, templates, counts), the same bytes for the same people."""
    output = io.BytesIO()
    arrays = {"templates": enrolled.templates, "names": np.array(enrolled.names, dtype=np.str_), "counts": enrolled.counts.astype(np.int64)}
    with zipfile.ZipFile(output, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", THEN), member.getvalue())
    write_bytes(directory / "gallery.npz", output.getvalue())


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
    return len(enrolled.names) - bool(np.isin(people, enrolled.names).any())


def _without_people(enrolled: Enrolled, names: set[str]) -> Enrolled:
    kept = np.flatnonzero([name not in names for name in enrolled.names])
    return Enrolled([enrolled.names[row] for row in kept], enrolled.templates[kept], enrolled.counts[kept], enrolled.sums[kept])


def stranger_scores(enrolled: Enrolled, probes: Floats, identities: Sequence[str]) -> Floats:
    """The best cosine (n,) of each probe with another person's template; NOBODY where no other person is enrolled."""
    if len(enrolled.names) == 0 or len(probes) == 0:
        return np.full(len(probes), NOBODY, np.float32)
    rows = {name: row for row, name in enumerate(enrolled.names)}
    own = np.array([rows.get(name, -1) for name in identities])
    best = np.empty(len(probes), np.float32)
    for part in blocks(len(probes), len(enrolled.names)):
        scores = probes[part] @ enrolled.templates.T
        known = np.flatnonzero(own[part] >= 0)
        scores[known, own[part][known]] = NOBODY
        best[part] = scores.max(axis=1)
    return best


def identification_figures(
    enrolled: Enrolled, embeddings: Floats, identities: Sequence[str], inside: Sequence[bool], thresholds: npt.NDArray[Any]
) -> Mapping[str, int | float]:
    """Counts of searches: right, wrong or refused (no match) for enrolled people, and strangers who match somebody.

    enrolled counts the searches, and enrolled_people the people who searched.

    thresholds: (n,), one for each photo. inside: the photo is part of its person's template. It is taken out first, so that no photo
    finds itself, and people with this one photo count as strangers.
    """
    rows = {name: row for row, name in enumerate(enrolled.names)}
    searched = set()
    counts = {"enrolled": 0, "enrolled_people": 0, "right": 0, "wrong": 0, "refused": 0, "strangers": 0, "strangers_accepted": 0}
    for vector, name, own_photo, threshold in zip(embeddings, identities, inside, thresholds, strict=True):
        scores = enrolled.templates @ vector
        row = rows.get(name)
        if row is not None and own_photo:
            scores[row] = _without(enrolled, row, vector)
        known = row is not None and scores[row] > NOBODY
        best = int(scores.argmax())
        accepted = bool(scores[best] >= threshold)
        if known:
            searched.add(name)
            counts["enrolled"] += 1
            counts["refused" if not accepted else "right" if best == row else "wrong"] += 1
        else:
            counts["strangers"] += 1
            counts["strangers_accepted"] += accepted
    counts["enrolled_people"] = len(searched)
    return counts


def _without(enrolled: Enrolled, row: int, vector: Floats) -> float:
    """Cosine of a photo with its person's template made without it; NOBODY if it is the only photo."""
    if enrolled.counts[row] < 2:
        return NOBODY
    rest = enrolled.sums[row] - vector
    return float(rest @ vector / max(float(np.linalg.norm(rest)), 1e-12))
