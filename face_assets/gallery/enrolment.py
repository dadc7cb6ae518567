"""Enrolment: templates of people, and the threshold of identification."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from face_assets.core.files import write_bytes

Floats = npt.NDArray[np.float32]
THEN = (1980, 1, 1, 0, 0, 0)
HAIR = 1e-4
SCORES_AT_ONCE = 16_000_000


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
    """The threshold at which at most `fpir` of the strangers' photos find somebody, and the number of strangers.

    `resolved` is False for fewer than 1 / fpir strangers: the threshold is then just above their best score, or the verification
    threshold if there are none.
    """

    threshold: float
    fpir: float
    measured_fpir: float
    strangers: int
    resolved: bool

    def to_json(self) -> dict[str, Any]:
        """JSON-able values."""
        return asdict(self)


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


def calibrate(enrolled: Enrolled, probes: Floats, identities: Sequence[str], fpir: float, fallback: float) -> Calibration:
    """The threshold from searches of each probe in the gallery without its own person. probes: float32 (n, d)."""
    best = stranger_scores(enrolled, probes, identities)
    if not len(best):
        return Calibration(fallback, fpir, 0.0, 0, resolved=False)
    allowed = int(fpir * len(best))
    ordered = np.sort(best)[::-1]
    threshold = float(ordered[allowed]) + HAIR
    return Calibration(threshold, fpir, float((best >= threshold).mean()), len(best), resolved=allowed >= 1)


def stranger_scores(enrolled: Enrolled, probes: Floats, identities: Sequence[str]) -> Floats:
    """The best cosine of each probe with another person's template; probes without another person are left out."""
    if len(enrolled.names) == 0 or len(probes) == 0:
        return np.empty(0, np.float32)
    rows = {name: row for row, name in enumerate(enrolled.names)}
    own = np.array([rows.get(name, -1) for name in identities])
    best = np.empty(len(probes), np.float32)
    step = max(1, SCORES_AT_ONCE // len(enrolled.names))
    for start in range(0, len(probes), step):
        scores = probes[start : start + step] @ enrolled.templates.T
        known = np.flatnonzero(own[start : start + step] >= 0)
        scores[known, own[start : start + step][known]] = -2
        best[start : start + step] = scores.max(axis=1)
    return np.asarray(best[best > -2], np.float32)


def identification_figures(
    enrolled: Enrolled, embeddings: Floats, identities: Sequence[str], inside: Sequence[bool], threshold: float
) -> Mapping[str, int | float]:
    """Counts of searches: right, wrong or refused (no match) for enrolled people, and strangers who match somebody.

    enrolled counts the searches, and enrolled_people the people who searched.

    inside: the photo is part of its person's template. It is taken out first, so that no photo finds itself, and people with this one
    photo count as strangers.
    """
    rows = {name: row for row, name in enumerate(enrolled.names)}
    searched = set()
    counts = {"enrolled": 0, "enrolled_people": 0, "right": 0, "wrong": 0, "refused": 0, "strangers": 0, "strangers_accepted": 0}
    for vector, name, own_photo in zip(embeddings, identities, inside, strict=True):
        scores = enrolled.templates @ vector
        row = rows.get(name)
        if row is not None and own_photo:
            scores[row] = _without(enrolled, row, vector)
        known = row is not None and scores[row] > -2
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
    """Cosine of a photo with its person's template made without it; -2 if it is the only photo."""
    if enrolled.counts[row] < 2:
        return -2.0
    rest = enrolled.sums[row] - vector
    return float(rest @ vector / max(float(np.linalg.norm(rest)), 1e-12))
