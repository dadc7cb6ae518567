"""Drift on real faces: unseen people of the same kind are none, changed photos are, and the features are named."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.drift_on_real_faces import CHANGES, chosen_photos, engines, measured
from face_assets.evaluation.feature_histograms import FeatureHistograms
from face_assets.evaluation.reference import make_reference
from face_assets.monitoring.drift import DriftReport, judge

PHOTOS, CHANGED = 240, 30
NAMED = {"blurred": "sharpness", "dark": "brightness", "tiny": "face_size", "greyscale": "saturation"}

pytestmark = [pytest.mark.slow, pytest.mark.real]


def test_unseen_people_are_no_drift_and_changed_photos_are(real_data: Path, tmp_path: Path) -> None:
    chosen = chosen_photos(real_data, PHOTOS)
    people = np.array([photo.parent.name for photo in chosen])
    names = np.unique(people)
    ours = np.isin(people, names[::2])
    networks, engine = engines(real_data, tmp_path)
    plain = measured(chosen, "unchanged", networks, engine, tmp_path)
    reference = make_reference(plain[ours], people[ours])
    assert reference

    def report(bins: np.ndarray) -> DriftReport:
        histograms = FeatureHistograms("v1.0.0", 0, 3600)
        for row in bins:
            histograms.add(row, max(int(row[0]), 0), 0)
        return judge("w", histograms, reference, CHANGED)

    assert report(plain[~ours]).verdict == "no_drift"
    others = [photo for photo, mine in zip(chosen, ours, strict=True) if not mine][:CHANGED]
    for change in CHANGES:
        if change != "unchanged":
            found = report(measured(others, change, networks, engine, tmp_path))
            assert NAMED[change.split(" ")[0]] in found.drifted, change
