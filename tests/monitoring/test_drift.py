"""Drift: traffic of the same kind raises no alarm, another kind does, and without evidence there is no verdict."""

import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from face_assets.core.errors import UserError
from face_assets.evaluation.feature_histograms import BINS, FEATURES, NAMES, SIMILARITY, FeatureHistograms, bins_of
from face_assets.evaluation.histogram_distance import distances
from face_assets.evaluation.reference import Reference, load_reference, make_reference
from face_assets.monitoring import reports
from face_assets.monitoring.drift import DriftReport, judge
from face_assets.monitoring.plots import drift_plot
from face_assets.serving.runtime.recorder import window_name

PEOPLE, PHOTOS = 120, 6
Bins = npt.NDArray[np.int64]


def seen(people: int, seed: int, **shifts: float) -> tuple[Bins, npt.NDArray[np.int64]]:
    """Photos whose features differ between people and between photos of one; shifts: by name, in tenths of the feature's range."""
    random = np.random.default_rng(seed)
    low = np.array([feature.low for feature in FEATURES])
    spread = np.array([feature.high - feature.low for feature in FEATURES]) / 10
    who = np.repeat(np.arange(people), PHOTOS)
    middle = low + 5 * spread + spread * 0.5 * random.normal(size=(people, len(FEATURES)))
    values = middle[who] + spread * random.normal(size=(len(who), len(FEATURES)))
    for name, shift in shifts.items():
        values[:, NAMES.index(name)] += shift * spread[NAMES.index(name)]
    return bins_of(values.astype(np.float32)), who


@pytest.fixture(scope="module")
def reference() -> Reference:
    made = make_reference(*seen(PEOPLE, 0))
    assert made is not None
    return made


def histograms(bins: Bins) -> FeatureHistograms:
    made = FeatureHistograms("v1.0.0", 0, 3600)
    for row in bins:
        made.add(row, 1, 0)
    return made


def alarms(reference: Reference, bins: Bins, photos: int, windows: int) -> int:
    random = np.random.default_rng(5)
    found = [judge("w", histograms(bins[random.choice(len(bins), photos)]), reference, photos) for _ in range(windows)]
    return sum(report.verdict == "drift" for report in found)


def test_other_people_of_the_same_kind_raise_hardly_an_alarm(reference: Reference) -> None:
    assert sum(alarms(reference, seen(200, seed)[0], photos, 50) for seed in range(1, 5) for photos in (100, 300)) <= 4  # of 400


@pytest.mark.parametrize("name", ["sharpness", "brightness", "face_size", "saturation", "embedding_03"])
def test_another_kind_is_found_and_named(reference: Reference, name: str) -> None:
    bins = seen(200, 9, **{name: -1.5})[0]
    assert alarms(reference, bins, 100, 20) == 20
    report = judge("w", histograms(bins[:100]), reference, 100)
    assert report.drifted[0] == name
    assert name.split("_0")[0] in report.sentence


def test_photos_without_faces_are_drift(reference: Reference) -> None:
    bins = seen(20, 3)[0]
    bins[:40] = -1
    bins[:40, 0] = 0
    assert judge("w", histograms(bins), reference, 100).drifted[0] == "faces"


def test_who_comes_is_no_drift(reference: Reference) -> None:
    """Enrolled people instead of strangers: the similarity is shown, and not judged."""
    report = judge("w", histograms(seen(200, 9, similarity=3.0)[0][:100]), reference, 100)
    assert report.verdict == "no_drift"
    assert report.features[SIMILARITY].psi > 1
    assert report.features[SIMILARITY].psi_limit is None


def test_without_enough_photos_or_a_reference_there_is_no_verdict(reference: Reference) -> None:
    few = judge("w", histograms(seen(10, 1, brightness=5.0)[0]), reference, 100)
    assert (few.verdict, few.features) == ("too_few_photos", ())
    assert "60 photos" in few.sentence
    none = judge("w", histograms(seen(50, 1)[0]), None, 100)
    assert (none.verdict, none.features) == ("no_reference", ())
    assert make_reference(*seen(7, 0)) is None  # too few people to tell chance from drift


def test_a_reference_is_the_same_bytes_and_a_broken_one_is_named(reference: Reference, tmp_path: Path) -> None:
    again = make_reference(*seen(PEOPLE, 0))
    assert again
    for name, one in (("a", reference), ("b", again)):
        one.save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").stat().st_size < 20_000
    stored = load_reference(tmp_path / "a")
    assert stored
    assert np.array_equal(stored.psi_limits, reference.psi_limits)
    assert stored.photos == PEOPLE * PHOTOS
    assert load_reference(tmp_path / "none") is None
    (tmp_path / "b").write_bytes((tmp_path / "a").read_bytes()[:500])
    with pytest.raises(UserError, match="is no reference"):
        load_reference(tmp_path / "b")


def test_distances_are_what_they_are_called() -> None:
    one, other = np.zeros((len(FEATURES), BINS)), np.zeros((len(FEATURES), BINS))
    one[:, 4], other[:, 6] = 100, 50
    found = distances(one, other)
    assert np.allclose(found.wasserstein, 2 * np.array([feature.width for feature in FEATURES]))
    assert np.allclose(found.ks, 1.0)
    assert (found.psi > 1).all()
    assert np.allclose(distances(one, one * 3).psi, 0.0, atol=0.02)
    assert np.allclose(distances(one, np.zeros_like(one)).psi, 0.0)


def test_reports_are_found_again(reference: Reference, tmp_path: Path) -> None:
    bins = seen(50, 2)[0]
    kinds = {"no_drift": bins[:200], "drift": seen(50, 2, brightness=-3.0)[0][:200], "too_few_photos": bins[:5]}
    assert reports.latest(tmp_path) is None
    for hour, kind in enumerate(["no_drift", "drift", "too_few_photos", "drift"]):
        window = f"2026-03-01-0{hour}:00"
        reports.write_reports(tmp_path, window, [judge(window, histograms(kinds[kind]), reference, 100)])
        assert (reports.latest(tmp_path) or pytest.fail()).verdict == kind
    reports.write_reports(tmp_path, "2026-03-01-09:00", [])  # an hour without traffic
    reports.write_reports(tmp_path, "2999-03-01-09:00", [judge("2999-03-01-09:00", histograms(kinds["no_drift"]), reference, 100)])
    (tmp_path / "reports" / "2026-03-01-08:00.json").write_text("torn")
    assert len(reports.consecutive_drift(tmp_path, "v1.0.0", 2)) == 2
    assert reports.consecutive_drift(tmp_path, "v1.0.0", 3) == []
    assert reports.consecutive_drift(tmp_path, "v2.0.0", 1) == []
    report = reports.latest(tmp_path)
    assert report
    assert DriftReport.from_json(report.to_json()) == report
    picture = drift_plot(report, histograms(kinds["drift"]), reference)
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 100_000


def test_a_year_of_reports_without_a_verdict_is_quick(tmp_path: Path) -> None:
    report = judge("", FeatureHistograms("v1.0.0", 0, 3600), None, 100)
    source = reports.write_reports(tmp_path, window_name(0), [report])
    for hour in range(1, 365 * 24):
        (source.parent / f"{window_name(hour * 3600)}.json").hardlink_to(source)
    began = time.process_time()
    assert reports.last(tmp_path, 1, "v1.0.0", judged=True) == []
    assert reports.consecutive_drift(tmp_path, "v1.0.0", 3) == []
    assert time.process_time() - began < 3.0
