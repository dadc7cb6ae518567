"""Quality: its scale follows what is recognized, a floor changes no accepted answer, and the curves leave out the worst."""

import numpy as np
import pytest

from face_assets.biometrics.discard import SHARES, discard_curves
from face_assets.biometrics.labelled import Labelled
from face_assets.biometrics.quality import QualityScale, fused, qualities, too_poor
from face_assets.biometrics.quality_calibration import FEWEST_FACES, matched_shares, quality_scale
from face_assets.biometrics.several_photos import several_photos


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def test_a_scale_says_how_many_comparisons_match() -> None:
    random = np.random.default_rng(0)
    raw = random.uniform(0.5, 1.0, 4000).astype(np.float32)
    shares = (random.random(4000) < 1 / (1 + np.exp(-30 * (raw - 0.8)))).astype(np.float64)
    shares[:50] = np.nan  # photos without another one of their person
    scale = quality_scale(raw, shares)
    assert isinstance(scale, QualityScale)
    assert scale.middle == pytest.approx(0.8, abs=0.01)
    assert scale.slope == pytest.approx(30, rel=0.1)
    found = scale.of(np.array([-1e9, 0.8, 1e9, np.nan], np.float32))
    assert found[:3] == pytest.approx([0, 50, 100], abs=5)
    assert np.isnan(found[3])
    assert QualityScale.from_json(scale.to_json()) == scale


@pytest.mark.parametrize(
    ("faces", "matching", "reason"),
    [
        (FEWEST_FACES - 1, lambda raw: raw > 0.5, "too few"),
        (200, lambda raw: raw > 2, "0% of the comparisons"),
        (200, lambda raw: raw > -1, "100% of the comparisons"),
        (200, lambda raw: raw < 0.5, "match as often"),
    ],
)
def test_where_there_is_no_scale_a_sentence_says_why(faces: int, matching: object, reason: str) -> None:
    raw = np.linspace(0, 1, faces, dtype=np.float32)
    found = quality_scale(raw, matching(raw).astype(np.float64))  # type: ignore[operator]
    assert isinstance(found, str)
    assert reason in found
    assert np.isnan(qualities(None, raw)).all()


def test_a_floor_changes_no_accepted_answer_and_an_unknown_quality_is_not_too_poor() -> None:
    quality = np.array([10, 10, 90, 90, np.nan], np.float32)
    accepted = np.array([True, False, True, False, False])
    assert too_poor(quality, accepted, 50.0).tolist() == [False, True, False, False, False]


def test_fusing_weighs_by_quality() -> None:
    good, bad = np.eye(2, dtype=np.float32)
    both = np.stack([good, bad])
    assert fused(both, np.array([90, 10], np.float32)) @ good > 0.99
    for unknown in ([np.nan, 10], [0, 0]):
        assert fused(both, np.array(unknown, np.float32)) == pytest.approx([0.7071, 0.7071], abs=1e-3)


def test_matches_are_counted_with_other_photos_of_the_same_person() -> None:
    good = unit(np.array([[1, 0], [1, 0.1], [0, 1], [1, 0]]))
    people = np.array([0, 0, 0, 1])
    shares = matched_shares(good, people, good, people, 0.9, np.arange(4))
    assert shares[:3].tolist() == [0.5, 0.5, 0.0]
    assert np.isnan(shares[3])


def crowd(people: int, photos: int, noise: np.ndarray) -> Labelled:
    random = np.random.default_rng(1)
    owners = np.repeat(np.arange(people), photos)
    vectors = random.standard_normal((people, 32))[owners] + noise[:, None] * random.standard_normal((people * photos, 32))
    return Labelled(owners, np.arange(len(owners)), unit(vectors))


def test_leaving_out_the_worst_lowers_the_misses_and_chance_does_not() -> None:
    random = np.random.default_rng(2)
    noise = np.where(random.random(400) < 0.1, 3.0, 0.4)
    seen = crowd(50, 8, noise)
    curves = discard_curves(seen, {"quality": -noise, "chance": random.random(400), "unknown": np.full(400, np.nan)}, 0.5)
    tenth = SHARES.index(0.1)
    assert curves.fnmr["quality"][0] == curves.fnmr["chance"][0] == curves.fnmr["unknown"][0]
    assert curves.pairs == 50 * 28
    first, quality, chance = curves.fnmr["quality"][0], curves.fnmr["quality"][tenth], curves.fnmr["chance"][tenth]
    assert first and chance and quality is not None
    assert quality < first / 5 < chance
    assert discard_curves(crowd(3, 1, np.ones(3)), {"quality": np.ones(3)}, 0.5).fnmr["quality"] == [None] * len(SHARES)


def test_several_photos_find_people_whom_one_misses() -> None:
    seen = crowd(40, 12, np.full(480, 1.2))
    found = several_photos(seen, np.full(480, 80, np.float32), 0.6)
    assert found is not None
    assert (found.people, found.searches) == (40, 80)
    assert found.fnir[1] > 3 * found.fnir[3] >= 3 * found.fnir[5]
    assert max(found.fpir.values()) <= 0.1
    assert several_photos(seen, np.full(480, 80, np.float32), None) is None
    assert several_photos(crowd(40, 5, np.ones(200)), np.full(200, 80, np.float32), 0.7) is None
