"""The gallery of enrolled people, searched exactly."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

SCORES_AT_ONCE = 16_000_000


@dataclass(frozen=True)
class Gallery:
    """names: one a person; templates: float32 (people, d) of unit length."""

    names: list[str]
    templates: npt.NDArray[np.float32]

    @staticmethod
    def load(directory: Path) -> "Gallery":
        """The gallery of a folder with gallery.npz."""
        with np.load(directory / "gallery.npz", allow_pickle=False) as stored:
            return Gallery([str(name) for name in stored["names"]], np.ascontiguousarray(stored["templates"]))

    def search(self, embeddings: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Index of the nearest person and the cosine with its template, (n,) each; -1 and -1 where nobody is enrolled."""
        nearest = np.full(len(embeddings), -1, np.int64)
        scores = np.full(len(embeddings), -1, np.float32)
        if not len(self.templates):
            return nearest, scores
        step = max(1, SCORES_AT_ONCE // len(self.templates))
        for start in range(0, len(embeddings), step):
            part = embeddings[start : start + step] @ self.templates.T
            nearest[start : start + step] = part.argmax(axis=1)
            scores[start : start + step] = part.max(axis=1)
        return nearest, scores
