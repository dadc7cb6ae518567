"""Labelled photos and their embeddings, where a photo without a found face has none and counts as missed (ISO/IEC 19795-1)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
ROWS_AT_ONCE = 1024
SCORES_AT_ONCE = 2**24


def rows_at_once(columns: int) -> int:
    """Rows that are compared with so many columns at a time: at most SCORES_AT_ONCE scores, however many photos there are."""
    return max(1, min(ROWS_AT_ONCE, SCORES_AT_ONCE // max(1, columns)))


@dataclass(frozen=True)
class Labelled:
    """Labelled photos by one recognizer.

    people: int (n,), a number from 0 for the person of each photo; found: int (k,), ascending places of the photos in which it finds a
    face; embeddings: float32 (k, d), of unit length, of these.
    """

    people: npt.NDArray[np.int64]
    found: npt.NDArray[np.int64]
    embeddings: Floats

    @cached_property
    def count(self) -> int:
        """Number of people."""
        return int(self.people.max()) + 1 if len(self.people) else 0

    @cached_property
    def photos(self) -> npt.NDArray[np.int64]:
        """Labelled photos of each person, (people,)."""
        return np.bincount(self.people, minlength=self.count)

    @cached_property
    def found_people(self) -> npt.NDArray[np.int64]:
        """Person of each found photo, (k,)."""
        return self.people[self.found]

    @cached_property
    def sums(self) -> Doubles:
        """Sum of each person's embeddings, float64 (people, d)."""
        sums = np.zeros((self.count, self.embeddings.shape[1]))
        np.add.at(sums, self.found_people, self.embeddings)
        return sums

    @property
    def failures(self) -> int:
        """Photos without a found face: failures to acquire."""
        return len(self.people) - len(self.found)

    @property
    def mated_pairs(self) -> npt.NDArray[np.int64]:
        """Pairs of labelled photos of each person, (people,), with those of photos without a face."""
        return self.photos * (self.photos - 1) // 2

    @property
    def missed_pairs(self) -> npt.NDArray[np.int64]:
        """Pairs of labelled photos of each person, (people,), of which at least one has no face."""
        seen = np.bincount(self.found_people, minlength=self.count)
        return self.mated_pairs - seen * (seen - 1) // 2

    def of_photos(self, kept: npt.NDArray[np.bool_]) -> "Labelled":
        """Some of the photos, bool (n,), with their people numbered anew in the same order."""
        if kept.all():
            return self
        rows = kept[self.found]
        people = np.unique(self.people[kept], return_inverse=True)[1]
        return Labelled(people, (np.cumsum(kept) - 1)[self.found[rows]], self.embeddings[rows])

    def of_people(self, kept: npt.NDArray[np.bool_]) -> "Labelled":
        """The photos of some people, bool (people,), who are numbered anew in the same order."""
        return self.of_photos(kept[self.people])

    def by_person(self) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
        """Each person with a found photo, with the rows of its embeddings."""
        order = np.argsort(self.found_people, kind="stable")
        starts = np.searchsorted(self.found_people[order], np.arange(self.count + 1))
        for person in np.flatnonzero(np.diff(starts)):
            yield int(person), order[starts[person] : starts[person + 1]]

    def mated_sums(self, value: Callable[[Floats], npt.NDArray[Any]]) -> Doubles:
        """Sum of `value` of the cosines of each person's pairs of found photos, float64 (people,)."""
        sums = np.zeros(self.count)
        for person, rows in self.by_person():
            for start in range(0, len(rows), ROWS_AT_ONCE):
                mine = rows[start : start + ROWS_AT_ONCE]
                scores = self.embeddings[mine] @ self.embeddings[rows[start:]].T
                sums[person] += value(scores[np.arange(scores.shape[1])[None] > np.arange(len(mine))[:, None]]).sum()
        return sums

    def mated_scores(self) -> tuple[npt.NDArray[np.int64], Floats]:
        """Person and cosine of each pair of found photos of one person, (pairs,) each."""
        people, scores = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
        for person, rows in self.by_person():
            vectors = self.embeddings[rows]
            for row in range(len(rows) - 1):
                scores.append(vectors[row + 1 :] @ vectors[row])
                people.append(np.full(len(scores[-1]), person))
        return np.concatenate(people), np.concatenate(scores)

    def mated_search_scores(self) -> Doubles:
        """Score of each labelled photo with the template of its person's other photos, float64 (n,); -1 where it has no face.

        The template is the mean of the other photos, as in the gallery. A labelled photo that is missing there counts as the worst that
        it could have been: the template's direction is then only known to lie in a cone around the mean of the rest, and the score is
        the least within it. So a photo that is not found never raises a score.
        """
        missing = self.photos - np.bincount(self.found_people, minlength=self.count)
        scores = np.full(len(self.people), -1.0)
        vectors = self.embeddings.astype(np.float64)
        rest = self.sums[self.found_people] - vectors
        lengths = np.linalg.norm(rest, axis=1)
        known = lengths > np.maximum(missing[self.found_people], 1e-9)
        cosines = np.einsum("ij,ij->i", rest, vectors)[known] / (lengths[known] * np.linalg.norm(vectors[known], axis=1))
        angles = np.arccos(np.clip(cosines, -1, 1)) + np.arcsin(missing[self.found_people][known] / lengths[known])
        scores[self.found[known]] = np.cos(np.minimum(angles, np.pi))
        return scores

    @cached_property
    def stranger_scores(self) -> Doubles:
        """Best cosine of each found photo with another person's template, float64 (k,); -1 without another person."""
        templates = (self.sums / np.maximum(np.linalg.norm(self.sums, axis=1, keepdims=True), 1e-12)).astype(np.float32)
        best = np.full(len(self.found), -1.0)
        if not self.count:
            return best
        step = rows_at_once(self.count)
        for start in range(0, len(best), step):
            scores = self.embeddings[start : start + step] @ templates.T
            scores[np.arange(len(scores)), self.found_people[start : start + step]] = -1.0
            best[start : start + step] = scores.max(axis=1)
        return best
