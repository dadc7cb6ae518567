"""Thresholds chosen by few real people, tried on all others: how often the requested rate is kept, and what that costs.

    python -m benchmarks.thresholds_on_real_faces ARRAYS KEY [DRAWS] [EMBEDDINGS]

ARRAYS: .npz with embeddings (n, d) of unit length named EMBEDDINGS (`start`), `identity` (n,) and `split` (n,). People are drawn from the
test split; KEY is that of known_weights.json, whose table is of other people, or `unknown`.
"""

import sys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from face_assets.biometrics.impostor_scores import ImpostorScores, impostor_scores
from face_assets.biometrics.score_blocks import score_blocks
from face_assets.biometrics.thresholds import identification_threshold, verification_threshold
from face_assets.gallery.enrolment import stranger_scores, templates_of

FAR, FPIR, CONFIDENCE = 1e-3, 0.01, 0.95
SIZES = (2, 8, 10, 20, 50, 200)
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Drawn:
    """Rates of one draw on all other people: kept (over pairs of photos, over people), cost and its oracle."""

    photos: float
    people: float
    reached: float
    oracle: float


def main() -> None:
    """Prints a table."""
    arrays, key = np.load(sys.argv[1]), sys.argv[2]
    draws = int(sys.argv[3]) if len(sys.argv) > 3 else 200
    test = arrays["split"] == "test"
    embeddings = np.asarray(arrays[sys.argv[4] if len(sys.argv) > 4 else "start"][test], np.float32)
    people = np.unique(arrays["identity"][test], return_inverse=True)[1]
    known = impostor_scores(key)
    print(f"{test.sum():,} photos of {people.max() + 1:,} people, {draws} draws, confidence {CONFIDENCE:g}; {known.name}\n")
    columns = ("share kept: photos", "people", "median rate", "95th percentile", "cost, median", "cost, oracle")
    for title, trial in (
        (f"FMR {FAR:g}, TAR", Verification(embeddings, people)),
        (f"FPIR {FPIR:g}, FNIR", Identification(embeddings, people)),
    ):
        print(f"| {title}: people | " + " | ".join(columns) + " |\n| ---: |" + " ---: |" * len(columns))
        for size in SIZES:
            random = np.random.default_rng(size)
            found = [trial.draw(random.choice(people.max() + 1, size, replace=False), known) for _ in range(draws)]
            rates = np.array([[one.photos, one.people, one.reached, one.oracle] for one in found])
            asked = FAR if isinstance(trial, Verification) else FPIR
            kept = (rates[:, :2] <= asked).mean(axis=0)
            cells = (f"{kept[0]:.1%}", f"{kept[1]:.1%}", f"{np.median(rates[:, 0]):.2e}", f"{np.quantile(rates[:, 0], 0.95):.2e}")
            print(f"| {size} | " + " | ".join(cells) + f" | {np.median(rates[:, 2]):.4f} | {np.median(rates[:, 3]):.4f} |", flush=True)
        print()


class Verification:
    """Comparisons of two photos."""

    lowest = 0.4

    def __init__(self, embeddings: Floats, people: npt.NDArray[np.int64]) -> None:
        self.embeddings, self.people, self.counts = embeddings, people, np.bincount(people)
        scores = np.triu(embeddings @ embeddings.T, 1)
        same = people[:, None] == people[None]
        self.mated = np.sort(scores[same & np.triu(np.ones_like(same), 1)])
        self.rows, self.columns = np.nonzero((scores >= self.lowest) & ~same)
        self.scores = scores[self.rows, self.columns]

    def draw(self, chosen: npt.NDArray[np.int64], known: ImpostorScores) -> Drawn:
        """Rates of the threshold that the drawn people choose."""
        inside = np.isin(self.people, chosen)
        threshold = verification_threshold(score_blocks(self.embeddings[inside], self.people[inside]), FAR, CONFIDENCE, known).value
        assert threshold > self.lowest
        others = np.delete(self.counts, chosen)
        among = ~inside[self.rows] & ~inside[self.columns]
        hit = among & (self.scores >= threshold)
        pairs, couples = (others.sum() ** 2 - (others**2).sum()) / 2, len(others) * (len(others) - 1) / 2
        shares = 1 / (self.counts[self.people[self.rows[hit]]] * self.counts[self.people[self.columns[hit]]])
        oracle = np.sort(self.scores[among])[::-1][int(FAR * pairs)]
        tar = [float((self.mated >= one).mean()) for one in (threshold, oracle)]
        return Drawn(hit.sum() / pairs, shares.sum() / couples, *tar)


class Identification:
    """Searches of strangers among the drawn people, who are enrolled and choose the threshold."""

    def __init__(self, embeddings: Floats, people: npt.NDArray[np.int64]) -> None:
        self.embeddings, self.people, self.counts = embeddings, people, np.bincount(people)
        sums = np.zeros((len(self.counts), embeddings.shape[1]))
        np.add.at(sums, people, embeddings)
        rest = sums[people] - embeddings
        several = self.counts[people] > 1
        self.mated = np.sort(((rest * embeddings).sum(axis=1) / np.maximum(np.linalg.norm(rest, axis=1), 1e-9))[several])

    def draw(self, chosen: npt.NDArray[np.int64], known: ImpostorScores) -> Drawn:
        """Rates of the threshold that the drawn people choose."""
        inside = np.isin(self.people, chosen)
        names = [str(one) for one in self.people[inside]]
        enrolled = templates_of(self.embeddings[inside], names)
        best = stranger_scores(enrolled, self.embeddings[inside], names)
        size = len(chosen)
        threshold = identification_threshold(best, np.array(names), size, size - 1, FPIR, CONFIDENCE, known).value
        found = (self.embeddings[~inside] @ enrolled.templates.T).max(axis=1)
        shares = 1 / self.counts[self.people[~inside]]
        oracle = np.quantile(found, 1 - FPIR)
        missed = [float((self.mated < one).mean()) for one in (threshold, oracle)]
        return Drawn(float((found >= threshold).mean()), float(shares[found >= threshold].sum() / shares.sum()), *missed)


if __name__ == "__main__":
    main()
