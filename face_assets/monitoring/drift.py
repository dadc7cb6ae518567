"""Drift verdict on a window: comparison of a release's traffic with the photos that it was tested on."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from face_assets.evaluation.feature_histograms import BINS, FEATURES, FIRST_PROJECTION, FeatureHistograms
from face_assets.evaluation.histogram_distance import distances
from face_assets.evaluation.reference import JUDGED, Reference

Verdict = Literal["drift", "no_drift", "too_few_photos", "no_reference"]
CENTRES = np.stack([feature.low + feature.width * (np.arange(BINS) + 0.5) for feature in FEATURES])
LARGE = 1e-6


@dataclass(frozen=True)
class FeatureDrift:
    """One feature of a window.

    seen: photos that have it; limits: None where it is not judged; excess: largest distance divided by its limit, above 1 for drift.
    """

    name: str
    unit: str
    seen: int
    mean: float | None
    reference_mean: float
    psi: float
    psi_limit: float | None
    wasserstein: float
    wasserstein_limit: float | None
    ks: float
    excess: float
    drifted: bool


@dataclass(frozen=True)
class DriftReport:
    """Report on one release in a window, with the verdict in a word and in a sentence; features are empty without a verdict."""

    window: str
    release: str
    verdict: Verdict
    sentence: str
    photos: int
    without_face: int
    refused: int
    faces: int
    accepted: int
    features: tuple[FeatureDrift, ...] = ()

    @property
    def drifted(self) -> list[str]:
        """Names of the features that drifted, by falling excess."""
        return [one.name for one in sorted(self.features, key=lambda one: -one.excess) if one.drifted]

    def to_json(self) -> dict[str, Any]:
        """Returns JSON-able values."""
        return asdict(self)

    @staticmethod
    def from_json(values: dict[str, Any]) -> "DriftReport":
        """Returns the report of the values of `to_json`."""
        return DriftReport(**{**values, "features": tuple(FeatureDrift(**one) for one in values["features"])})


def judge(window: str, traffic: FeatureHistograms, reference: Reference | None, min_photos: int, without: str = "") -> DriftReport:
    """Returns the report on a release's histograms. without: why there is no reference, in a sentence."""
    if reference is None:
        reason = without or f"{traffic.release} has no reference"
        return _report(window, traffic, "no_reference", f"No verdict: {reason}")
    if traffic.photos < min_photos:
        return _report(
            window, traffic, "too_few_photos", f"No verdict: {traffic.photos} photos, monitoring.min_photos asks for {min_photos}"
        )
    features = _features(traffic, reference)
    drifted = [one for one in features if one.drifted]
    if not drifted:
        return _report(window, traffic, "no_drift", f"{traffic.photos:,} photos look like those that the release was tested on", features)
    return _report(window, traffic, "drift", _sentence(drifted, traffic), features)


def _report(
    window: str, traffic: FeatureHistograms, verdict: Verdict, sentence: str, features: tuple[FeatureDrift, ...] = ()
) -> DriftReport:
    numbers = (traffic.photos, traffic.without_face, traffic.refused, traffic.faces, traffic.accepted)
    return DriftReport(window, traffic.release, verdict, sentence, *numbers, features=features)


def _features(traffic: FeatureHistograms, reference: Reference) -> tuple[FeatureDrift, ...]:
    found = distances(reference.counts, traffic.counts)
    seen = traffic.counts.sum(axis=1)
    means = (traffic.counts * CENTRES).sum(axis=1) / np.maximum(seen, 1)
    before = (reference.counts * CENTRES).sum(axis=1) / np.maximum(reference.counts.sum(axis=1), 1)
    features = []
    for number, feature in enumerate(FEATURES):
        limits = reference.limits(int(seen[number])) if JUDGED[number] else None
        psi_limit, wasserstein_limit = (float(limits[0][number]), float(limits[1][number])) if limits else (None, None)
        psi, wasserstein = float(found.psi[number]), float(found.wasserstein[number])
        excess = max(psi / max(psi_limit, LARGE), wasserstein / max(wasserstein_limit, LARGE)) if psi_limit and wasserstein_limit else 0.0
        features.append(
            FeatureDrift(
                feature.name,
                feature.unit,
                int(seen[number]),
                round(float(means[number]), 4) if seen[number] else None,
                round(float(before[number]), 4),
                round(psi, 5),
                psi_limit,
                round(wasserstein, 5),
                wasserstein_limit,
                round(float(found.ks[number]), 5),
                round(excess, 3),
                excess > 1.0,
            )
        )
    return tuple(features)


def _sentence(drifted: list[FeatureDrift], traffic: FeatureHistograms) -> str:
    """Returns the features by falling excess; directions of the embeddings count as one."""
    directions = [one for one in drifted if one.name.startswith("embedding_")]
    others = sorted((one for one in drifted if one not in directions), key=lambda one: -one.excess)
    parts = [f"{one.name} {one.mean:.2f} instead of {one.reference_mean:.2f}" for one in others if one.mean is not None]
    if directions:
        parts.append(f"embeddings in {len(directions)} of {len(FEATURES) - FIRST_PROJECTION} directions")
    return f"{traffic.photos:,} photos differ from those that the release was tested on: {', '.join(parts)}"
