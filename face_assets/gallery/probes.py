"""The photos by which a gallery is calibrated and measured: all of the test people, or of so many that the searches stay few."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from face_assets.core.rows import Rows
from face_assets.detection.steps import Face
from face_assets.evaluation.labelled_photos import people_drawn

MOST_COMPARISONS = 10_000_000_000
"""Of photos with enrolled people. Each is made some five times, once for each fold."""
FEWEST = 5_000


@dataclass(frozen=True)
class Probes:
    """Photos that are searched. of: number of photos from whose people these were drawn; that of `faces` where all are searched."""

    faces: Sequence[Face]
    of: int

    def are_among(self, enrolled: Iterable[Face]) -> list[bool]:
        """True for each of the photos that is one of `enrolled`."""
        photos = {(face.identity, face.md5) for face in self.faces}
        there = photos & {photo for face in enrolled if (photo := (face.identity, face.md5)) in photos}
        return [(face.identity, face.md5) in there for face in self.faces]

    def notes(self) -> dict[str, Any]:
        """JSON-able facts on the photos; none where all are searched."""
        return {"searched_photos": len(self.faces), "searched_photos_of": self.of} if len(self.faces) < self.of else {}


def probes_of(faces: Rows[Face], people: int) -> Probes:
    """The photos to search in a gallery of `people`: all of them, or those of people drawn by a hash of their names."""
    most = max(FEWEST, MOST_COMPARISONS // max(1, people))
    column = faces.names("identity")
    counts = np.bincount(column.codes, minlength=len(column.names)).tolist()
    drawn = people_drawn(Counter(dict(zip(column.names, counts, strict=True))), most)
    is_drawn = np.array([name in drawn for name in column.names], bool)[column.codes]
    return Probes(list(faces.at(np.flatnonzero(is_drawn))), len(faces))
