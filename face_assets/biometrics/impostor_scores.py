"""Non-mated scores of weights as they were measured on other people: the prior knowledge from which thresholds for few people start."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from face_assets.core.fingerprint import fingerprint

FILE = Path(__file__).with_name("known_weights.json")
DEVIATION_KNOWN = 0.05
"""Standard deviation, between populations, of the score at one rate for weights that were measured (cosine)."""
DEVIATION_UNKNOWN = 0.1
"""The same for weights that were not measured."""
STEPS = 50


@dataclass(frozen=True)
class ImpostorScores:
    """Upper tail of the non-mated scores of some weights.

    rates: descending; photo_scores and people_scores: the scores that this share of the comparisons reaches, where each pair of photos and
    where each pair of people counts once. spread: standard deviation of the scores. person_variance: variance of people's own rates
    over the square of that rate. deviation: how far the scores of another population may lie from these.
    """

    name: str
    rates: tuple[float, ...]
    photo_scores: tuple[float, ...]
    people_scores: tuple[float, ...]
    spread: float
    person_variance: tuple[float, ...]
    deviation: float = DEVIATION_KNOWN

    @property
    def digest(self) -> str:
        """Digest of the scores, which decide thresholds, for the names of what is made with them."""
        return fingerprint(asdict(self))

    def photo_score(self, rate: float) -> float:
        """The score that `rate` of the pairs of photos reaches. Below the lowest rate the tail is extended linearly in log(rate)."""
        return self._score(rate, self.photo_scores)

    def people_score(self, rate: float) -> float:
        """The score that `rate` of the pairs of people reaches."""
        return self._score(rate, self.people_scores)

    def relative_variance(self, rate: float) -> float:
        """Variance of people's own false match rates over the square of their mean, at the score of this rate."""
        return float(np.interp(-np.log(rate), -np.log(self.rates), self.person_variance))

    def mean_excess(self, rate: float) -> float:
        """Mean distance above `people_score(rate)` of the scores that reach it."""
        shares = (np.arange(STEPS) + 0.5) / STEPS
        return float(np.mean([self.people_score(rate * share) for share in shares]) - self.people_score(rate))

    def _score(self, rate: float, scores: tuple[float, ...]) -> float:
        depths = -np.log(self.rates)
        depth = -float(np.log(rate))
        if depth <= depths[-1]:
            return float(np.interp(depth, depths, scores))
        before = int(np.searchsorted(depths, depths[-1] - 1.0))
        slope = (scores[-1] - scores[before]) / (depths[-1] - depths[before])
        return float(scores[-1] + slope * (depth - depths[-1]))

    @staticmethod
    def from_json(values: Mapping[str, Any], deviation: float = DEVIATION_KNOWN) -> "ImpostorScores":
        """The scores of an entry of known_weights.json."""
        lists = {key: tuple(values[key]) for key in ("rates", "photo_scores", "people_scores", "person_variance")}
        return ImpostorScores(values["name"], spread=values["spread"], deviation=deviation, **lists)


@cache
def _entries() -> dict[str, Any]:
    entries: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return entries


def known_key(weights_fingerprint: str, whitening: str, align: str) -> str:
    """Key in known_weights.json of weights with an input normalization, on crops of an alignment: box and upright have one table."""
    return f"{weights_fingerprint} {whitening}" + (" similarity" if align == "similarity" else "")


def impostor_scores(key: str) -> ImpostorScores:
    """Scores of weights by `known_key`. For unknown weights: those of the first known ones with twice the deviation."""
    entries = _entries()
    if key in entries:
        return ImpostorScores.from_json(entries[key])
    first = ImpostorScores.from_json(next(iter(entries.values())), DEVIATION_UNKNOWN)
    return replace(first, name=f"unknown weights, by {first.name} with a wider deviation")


def measure_impostor_scores(embeddings: npt.NDArray[np.float32], identities: npt.NDArray[Any], name: str) -> ImpostorScores:
    """Tail of the non-mated scores of embeddings (n, d) of unit length with identities (n,), down to rates with 20 pairs."""
    from face_assets.biometrics.score_blocks import SCORES, score_at, score_blocks, spread_of

    blocks = score_blocks(embeddings, identities)
    photos, people = blocks.photos.sum((0, 1)), blocks.people.sum((0, 1))
    least = max(1e-6, 20 / people.sum())
    rates = [float(rate) for rate in np.logspace(np.log10(0.9), -6, 60) if rate >= least]
    people_scores = [score_at(people, rate) for rate in rates]
    return ImpostorScores(
        name,
        tuple(round(rate, 9) for rate in rates),
        tuple(round(score_at(photos, rate), 5) for rate in rates),
        tuple(round(score, 5) for score in people_scores),
        round(spread_of(people, SCORES), 5),
        tuple(round(value, 3) for value in _person_variance(embeddings, identities, people_scores)),
    )


def _person_variance(embeddings: npt.NDArray[np.float32], identities: npt.NDArray[Any], scores: list[float]) -> npt.NDArray[Any]:
    """Relative variance of people's own rates at each score, less what chance alone gives."""
    _, places, counts = np.unique(identities, return_inverse=True, return_counts=True)
    shares = 1 / counts[places]
    own = np.zeros((len(scores), len(counts)))
    for start in range(0, len(embeddings), 512):
        rows = slice(start, start + 512)
        cosines = embeddings[rows] @ embeddings.T
        cosines[places[rows, None] == places[None]] = -2
        for number, score in enumerate(scores):
            weights = ((cosines >= score) @ shares) * shares[rows]
            own[number] += np.bincount(places[rows], weights, minlength=len(counts))
    own /= len(counts) - 1
    means = own.mean(axis=1)
    return np.asarray(np.maximum(own.var(axis=1) - means / (len(counts) - 1), 0) / means**2)
