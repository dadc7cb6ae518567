"""The hardest pairs of an evaluation: mated ones with the lowest scores, and non-mated ones with the highest."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from face_assets.biometrics.labelled import rows_at_once

KEPT = 2000
Kind = Literal["genuine", "impostor"]
KINDS: tuple[Kind, Kind] = ("genuine", "impostor")
COLUMNS = ("kind", "first", "second", "score")


@dataclass(frozen=True)
class Pair:
    """Two photos by their ids, and the cosine of their faces."""

    kind: Kind
    first: str
    second: str
    score: float

    @property
    def key(self) -> tuple[str, str]:
        """Key of the pair in either order."""
        return (self.first, self.second) if self.first <= self.second else (self.second, self.first)


def hardest_pairs(embeddings: npt.NDArray[np.float32], people: npt.NDArray[Any], ids: Sequence[str], kept: int = KEPT) -> list[Pair]:
    """At most `kept` pairs of each kind, hardest first, in bounded memory.

    embeddings: (n, d) of unit length; people, ids: (n,).
    """
    best: dict[Kind, tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]] = {}
    step = rows_at_once(len(embeddings))
    for start in range(0, len(embeddings), step):
        scores = embeddings[start : start + step] @ embeddings[start:].T
        later = np.arange(scores.shape[1])[None] > np.arange(len(scores))[:, None]
        same = people[start : start + step, None] == people[None, start:]
        for kind, chosen, sign in (("genuine", same & later, 1.0), ("impostor", ~same & later, -1.0)):
            known, hardness = best.get(kind), sign * scores  # type: ignore[call-overload]
            if known and len(known[2]) == kept:
                chosen &= hardness < known[2][-1]  # the others come after all that are known
            elif chosen.sum() > kept:
                chosen &= hardness <= np.partition(hardness[chosen], kept - 1)[kept - 1]
            rows, columns = np.nonzero(chosen)
            hardness = hardness[rows, columns]
            if len(hardness) > kept:
                place = np.argpartition(hardness, kept)[:kept]
                rows, columns, hardness = rows[place], columns[place], hardness[place]
            joined = [rows + start, columns + start, hardness]
            if known:
                joined = [np.concatenate(both) for both in zip(known, joined, strict=True)]
            order = np.argsort(joined[2], kind="stable")[:kept]
            best[kind] = tuple(part[order] for part in joined)  # type: ignore[index, assignment]
    signs = {"genuine": 1.0, "impostor": -1.0}
    return [
        Pair(kind, ids[row], ids[column], round(float(signs[kind] * hardness), 6))
        for kind in KINDS
        if kind in best
        for row, column, hardness in zip(*best[kind], strict=True)
    ]


def write_pairs(path: Path, pairs: Sequence[Pair]) -> None:
    """Writes the pairs as a CSV file."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((pair.kind, pair.first, pair.second, pair.score) for pair in pairs)


def read_pairs(path: Path) -> Iterator[Pair]:
    """Reads the pairs that `write_pairs` wrote."""
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            kind: Kind = "genuine" if row["kind"] == "genuine" else "impostor"
            yield Pair(kind, row["first"], row["second"], float(row["score"]))


@dataclass(frozen=True)
class Regression:
    """A pair with a worse score by the newer embedder.

    before: the older score; None if the pair was not among the hardest, and then easier than `bound`. wrong: the newer decision at its
    threshold is wrong; was_wrong: so was the older one; None if `bound` does not determine it.
    """

    kind: Kind
    first: str
    second: str
    before: float | None
    bound: float | None
    after: float
    wrong: bool
    was_wrong: bool | None

    @property
    def new_mistake(self) -> bool:
        """True if the newer decision is wrong and the older one was right."""
        return self.wrong and self.was_wrong is False

    @property
    def loss(self) -> float:
        """Lower bound of the loss of score."""
        at_least = self.before if self.before is not None else self.bound
        if at_least is None:
            return 0.0
        return at_least - self.after if self.kind == "genuine" else self.after - at_least


def worst_regressions(
    before: Sequence[Pair], after: Sequence[Pair], thresholds: tuple[float, float], most: int, least: float = 0.0
) -> list[Regression]:
    """The pairs with the largest loss from `before` to `after`, new mistakes first.

    thresholds: of both; least: loss of a pair that is no new mistake. The caller leaves out pairs of photos that only one of them has seen.
    """
    found = []
    for kind in KINDS:
        old = {pair.key: pair.score for pair in before if pair.kind == kind}
        if not old:
            continue
        easiest = max(old.values()) if kind == "genuine" else min(old.values())
        for pair in after:
            if pair.kind != kind:
                continue
            score = old.get(pair.key)
            sign = 1.0 if kind == "genuine" else -1.0
            wrong = sign * (pair.score - thresholds[1]) < 0
            was_wrong: bool | None = sign * ((easiest if score is None else score) - thresholds[0]) < 0
            if was_wrong and score is None:  # a wrong decision at the bound determines nothing
                was_wrong = None
            one = Regression(kind, pair.first, pair.second, score, None if score is not None else easiest, pair.score, wrong, was_wrong)
            if one.loss > 0 and (one.new_mistake or one.loss >= least):
                found.append(one)
    return sorted(found, key=lambda one: (not one.new_mistake, -one.loss))[:most]
