"""Verification on test identities: every pair of photos is scored once and counted in a fine histogram."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from face_assets.biometrics.labelled import Labelled, rows_at_once
from face_assets.core.errors import UserError

Floats = npt.NDArray[np.float32]
Counts = npt.NDArray[np.int64]

BINS = 2**20
FARS = (1e-2, 1e-3, 1e-4)
FOLDS = 10
PAIRS_A_KIND = 3000
CURVE_POINTS = 400
ABOVE_EVERY_COSINE = 1.0 + 1e-4
HISTOGRAM_BINS = 100


@dataclass(frozen=True)
class TarAtFar:
    """The share of genuine pairs accepted where at most `far` of the impostor pairs are. `tar` is None where the impostor pairs are too
    few: fewer than 1 / far."""

    far: float
    tar: float | None
    threshold: float | None
    false_accepts: int
    impostor: int
    resolved: bool


@dataclass(frozen=True)
class Evaluation:
    """The figures of one embedder; None for those that photos without a mated pair do not show.

    mated_people: those with two photos or more. failures: photos without a found face; their mated pairs count as missed in genuine, AUC,
    EER, TAR and the curve (generalized rates of ISO/IEC 19795-1), while FAR and accuracy are of pairs of found faces. The thresholds in
    `tar` are of these photos alone; the one that is served has a margin for others (`thresholds.verification_threshold`).
    """

    photos: int
    failures: int
    people: int
    mated_people: int
    genuine: int
    impostor: int
    accuracy: float | None
    accuracy_std: float | None
    auc: float | None
    eer: float | None
    tar: list[TarAtFar]
    far: float
    roc: dict[str, list[float]]
    histogram: dict[str, list[float]]

    @property
    def pairs(self) -> int:
        """Number of all pairs."""
        return self.genuine + self.impostor

    def tar_at(self, far: float) -> TarAtFar:
        """The point of `far`, which is one of FARS or the evaluation's own."""
        return next(point for point in self.tar if point.far == far)

    def to_json(self) -> dict[str, Any]:
        """JSON-able values."""
        return asdict(self)


def evaluate_labelled(labelled: Labelled, far: float, seed: int) -> Evaluation:
    """Figures over all labelled photos, those without a found face among them. Raises UserError as `evaluate` does."""
    missed = int(labelled.missed_pairs.sum())
    found = evaluate(labelled.embeddings, labelled.found_people, far, seed, missed)
    mated = int((labelled.photos > 1).sum())
    return replace(found, photos=len(labelled.people), failures=labelled.failures, people=labelled.count, mated_people=mated)


def evaluate(embeddings: Floats, identities: npt.NDArray[Any], far: float, seed: int, missed: int = 0) -> Evaluation:
    """Figures over all pairs. embeddings: float32 (n, d) of unit length; identities: (n,) integers; missed: mated pairs of photos without a
    found face.

    Without a pair of one person, only the thresholds are measured. Raises UserError without two people, and for embeddings that are not
    finite.
    """
    require_finite(embeddings)
    genuine, impostor = count_scores(embeddings, identities)
    genuine[0] += missed
    people, counts = np.unique(identities, return_counts=True)
    if len(people) < 2:
        raise UserError(f"The test split has photos with a usable face of {len(people)} people: it needs two. Add people to the photos.")
    return Evaluation(
        photos=len(embeddings),
        failures=0,
        people=len(people),
        mated_people=int((counts > 1).sum()),
        genuine=int(genuine.sum()),
        impostor=int(impostor.sum()),
        **_accuracy(embeddings, identities, seed),
        **_areas(genuine, impostor),
        tar=[tar_at_far(genuine, impostor, one) for one in dict.fromkeys((*FARS, far))],
        far=far,
        roc=_curve(genuine, impostor),
        histogram=_coarse(genuine, impostor),
    )


def require_finite(embeddings: Floats) -> None:
    """Raises UserError for embeddings (n, d) that are not finite."""
    if broken := int((~np.isfinite(embeddings).all(axis=1)).sum()):
        raise UserError(
            f"The embedder returns no finite numbers for {broken:,} of {len(embeddings):,} photos, as after a training that diverged: "
            "lower train.learning_rate or train.scale, or start from other embedder.weights."
        )


def _accuracy(embeddings: Floats, identities: npt.NDArray[Any], seed: int) -> dict[str, Any]:
    """Mean and deviation of the folds' accuracies; None without a pair of one person."""
    if not has_pairs(identities):
        return {"accuracy": None, "accuracy_std": None}
    accuracies = _fold_accuracies(embeddings, identities, seed)
    return {"accuracy": float(np.mean(accuracies)), "accuracy_std": float(np.std(accuracies))}


def _areas(genuine: Counts, impostor: Counts) -> dict[str, Any]:
    """Area under the ROC curve and equal error rate; None without a pair of one person."""
    from sklearn.metrics import auc

    if not genuine.sum():
        return {"auc": None, "eer": None}
    false_rates, true_rates, _ = _roc(genuine, impostor)
    misses = 1 - true_rates
    crossing = int(np.argmin(np.abs(misses - false_rates)))
    return {"auc": float(auc(false_rates, true_rates)), "eer": float((misses[crossing] + false_rates[crossing]) / 2)}


def _curve(genuine: Counts, impostor: Counts) -> dict[str, list[float]]:
    """The ROC curve, thinned; empty without a pair of one person."""
    return _thinned(*_roc(genuine, impostor)) if genuine.sum() else {"far": [], "tar": [], "threshold": []}


def has_pairs(people: npt.NDArray[Any]) -> bool:
    """True where there is a pair of one person and a pair of two, by which accuracy is measured."""
    counts = np.unique(people, return_counts=True)[1]
    return len(counts) > 1 and bool(counts.max() > 1)


def count_scores(embeddings: Floats, identities: npt.NDArray[Any]) -> tuple[Counts, Counts]:
    """Histograms (BINS,) of the cosines of all pairs of one person and of two; memory does not grow with the pairs."""
    genuine, impostor = np.zeros(BINS, np.int64), np.zeros(BINS, np.int64)
    step = rows_at_once(len(embeddings))
    for start in range(0, len(embeddings), step):
        scores = embeddings[start : start + step] @ embeddings[start:].T
        later = np.arange(scores.shape[1])[None] > np.arange(len(scores))[:, None]
        same = (identities[start : start + step, None] == identities[None, start:]) & later
        bins = bin_of(scores)
        genuine += np.bincount(bins[same], minlength=BINS)
        impostor += np.bincount(bins[later & ~same], minlength=BINS)
    return genuine, impostor


def bin_of(scores: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """The bin of each cosine."""
    return np.clip((scores + 1) * (BINS / 2), 0, BINS - 1).astype(np.int32)


def _edge(place: int) -> float:
    """The lowest cosine of a bin; above the last, one that no rounding of two equal vectors reaches."""
    return float(place / (BINS / 2) - 1) if place < BINS else ABOVE_EVERY_COSINE


def tar_at_far(genuine: Counts, impostor: Counts, far: float) -> TarAtFar:
    """The lowest threshold that accepts at most `far` of the impostor pairs, and the pairs that it accepts."""
    pairs = int(impostor.sum())
    allowed = int(far * pairs)
    if allowed < 1:
        return TarAtFar(far, None, None, 0, pairs, resolved=False)
    accepted = np.cumsum(impostor[::-1])[::-1]
    place = int(np.searchsorted(-accepted, -allowed, side="left"))
    tar = float(genuine[place:].sum() / genuine.sum()) if genuine.sum() else None
    false_accepts = int(accepted[place]) if place < BINS else 0
    return TarAtFar(far, tar, _edge(place), false_accepts, pairs, resolved=True)


def above_every(impostor: Counts) -> float:
    """The cosine just above the highest of a histogram (BINS,); above every cosine if it is empty."""
    return _edge(int(np.flatnonzero(impostor)[-1]) + 1) if impostor.any() else ABOVE_EVERY_COSINE


def _roc(genuine: Counts, impostor: Counts) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    from sklearn.metrics import roc_curve

    filled = np.flatnonzero(genuine + impostor)
    scores = np.concatenate([filled, filled])
    truth = np.concatenate([np.ones(len(filled), np.int8), np.zeros(len(filled), np.int8)])
    weights = np.concatenate([genuine[filled], impostor[filled]])
    false_rates, true_rates, places = roc_curve(truth, scores, sample_weight=weights)
    return false_rates, true_rates, np.minimum(places / (BINS / 2) - 1, 1.0)


def _thinned(false_rates: npt.NDArray[Any], true_rates: npt.NDArray[Any], thresholds: npt.NDArray[Any]) -> dict[str, list[float]]:
    """The curve at CURVE_POINTS rates, evenly spaced on the logarithm."""
    wanted = np.logspace(-6, 0, CURVE_POINTS)
    places = np.unique(np.searchsorted(false_rates, wanted, side="right") - 1)
    curve = {"far": false_rates[places], "tar": true_rates[places], "threshold": thresholds[places]}
    return {name: [round(float(value), 8) for value in values] for name, values in curve.items()}


def _coarse(genuine: Counts, impostor: Counts) -> dict[str, list[float]]:
    edges = np.linspace(0, BINS, HISTOGRAM_BINS + 1).astype(int)[:-1]
    kinds = {"genuine": genuine, "impostor": impostor}
    shares = {name: np.add.reduceat(counts, edges) / max(counts.sum(), 1) for name, counts in kinds.items()}
    named = {name: [round(float(value), 8) for value in values] for name, values in shares.items()}
    return {"score": [round(_edge(int(edge)), 4) for edge in edges], **named}


def _fold_accuracies(embeddings: Floats, identities: npt.NDArray[Any], seed: int) -> npt.NDArray[Any]:
    """Accuracy on each of FOLDS sets of pairs with disjoint people, at the best threshold of the other sets (as on LFW)."""
    random = np.random.default_rng(seed)
    people = np.unique(identities)
    folds = min(FOLDS, len(people) // 2)
    fold_of = dict(zip(random.permutation(people).tolist(), np.arange(len(people)) % max(folds, 1), strict=True))
    place = np.array([fold_of[identity] for identity in identities.tolist()])
    sets = [
        pairs for fold in range(folds) if (pairs := _fold_pairs(np.flatnonzero(place == fold), embeddings, identities, random)) is not None
    ]
    if len(sets) < 2:
        everything = _fold_pairs(np.arange(len(identities)), embeddings, identities, random)
        return np.array([_best(*everything)[1]]) if everything else np.array([0.0])
    accuracies = []
    for number, (scores, same) in enumerate(sets):
        others = [pairs for other, pairs in enumerate(sets) if other != number]
        threshold, _ = _best(np.concatenate([pairs[0] for pairs in others]), np.concatenate([pairs[1] for pairs in others]))
        accuracies.append(((scores >= threshold) == same).mean())
    return np.array(accuracies)


def _fold_pairs(
    rows: npt.NDArray[Any], embeddings: Floats, identities: npt.NDArray[Any], random: np.random.Generator
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]] | None:
    """As many genuine as impostor pairs of these rows: scores, and true for those of one person; None where one kind is missing."""
    first, second = np.triu_indices(len(rows), 1) if len(rows) < 2000 else _sampled_pairs(len(rows), random)
    same = identities[rows[first]] == identities[rows[second]]
    most = min(PAIRS_A_KIND // FOLDS, int(same.sum()), int((~same).sum()))
    if most == 0:
        return None
    chosen = np.concatenate([random.choice(np.flatnonzero(kind), most, replace=False) for kind in (same, ~same)])
    one, other = rows[first[chosen]], rows[second[chosen]]
    return np.einsum("ij,ij->i", embeddings[one], embeddings[other]), same[chosen]


def _sampled_pairs(count: int, random: np.random.Generator) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    first, second = random.integers(count, size=(2, 4_000_000))
    return first[first < second], second[first < second]


def _best(scores: npt.NDArray[Any], same: npt.NDArray[Any]) -> tuple[float, float]:
    """The threshold with the highest accuracy, and that accuracy."""
    order = np.argsort(scores)
    right = same.sum() + np.concatenate([[0], np.cumsum(np.where(same[order], -1, 1))])
    place = int(right.argmax())
    edges = np.concatenate([[-1.0], (scores[order][:-1] + scores[order][1:]) / 2, [1.0 + 1e-6]])
    return float(edges[place]), float(right[place] / len(scores))
