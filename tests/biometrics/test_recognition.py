"""Recognition over all labelled photos: a photo that is not found never raises a figure, and figures are those of the scores."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from face_assets.biometrics import drawn_thresholds
from face_assets.biometrics.labelled import Labelled
from face_assets.biometrics.recognition import OperatingPoint, Recognition, operating_point, recognition
from face_assets.core.errors import UserError


def labelled(seed: int, people: int, spread: float, found: list[bool] | None = None) -> Labelled:
    """Labelled photos, one to five of each person, of which those of `found` have a face."""
    random = np.random.default_rng(seed)
    owners = np.repeat(np.arange(people), random.integers(1, 6, size=people))
    vectors = random.normal(size=(people, 16))[owners] + spread * random.normal(size=(len(owners), 16))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    rows = np.flatnonzero(np.resize(found or [True], len(owners)))
    return Labelled(owners, rows, vectors[rows])


@cache
def point_of(seed: int) -> OperatingPoint:
    """The operating point of sixty other people, for a gallery of twelve."""
    return operating_point([labelled(seed + 1000, 60, 0.9)], 0.01, 0.1, enrolled=12)


def gated(found: Recognition) -> dict[str, np.ndarray]:
    """Every figure on which the gate decides, of all people and of each."""
    assert found.accepted and found.found
    figures = {"auc": found.auc, "accuracy": found.accuracy, "tar": found.tar, "recognized": found.found.share}
    people = {"ranked": found.ranked.hits, "accepted": found.accepted.hits, "found": found.found.hits}
    return {name: np.asarray(value) for name, value in {**figures, **people}.items()}


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    spread=st.sampled_from([0.4, 0.9, 1.6]),
    some=st.lists(st.booleans(), min_size=1, max_size=9),
    gone=st.integers(0),
)
def test_a_photo_that_is_no_longer_found_raises_no_figure(seed: int, spread: float, some: list[bool], gone: int) -> None:
    point = point_of(seed % 3)
    before = labelled(seed, 12, spread, some)
    if not len(before.found):
        return
    kept = np.arange(len(before.found)) != gone % len(before.found)
    after = Labelled(before.people, before.found[kept], before.embeddings[kept])
    old, new = gated(recognition(before, point)), gated(recognition(after, point))
    for name in old:
        assert (new[name] <= old[name] + 1e-9).all(), name


def test_with_every_face_found_the_counts_are_those_of_the_scores() -> None:
    test, point = labelled(3, 12, 0.9), point_of(3)
    assert point.verification is not None and point.identification is not None
    found = recognition(test, point)
    scores = test.embeddings @ test.embeddings.T
    same = np.triu(test.people[:, None] == test.people[None], 1)
    assert found.tar == pytest.approx((scores[same] >= point.verification).mean())
    hits = []
    for row, person in enumerate(test.people):
        others = [vector for other, vector in enumerate(test.embeddings) if other != row and test.people[other] == person]
        if others:
            mean = np.mean(others, axis=0)
            hits.append(test.embeddings[row] @ mean / np.linalg.norm(mean) >= point.identification)
    assert found.fnir == pytest.approx(1 - np.mean(hits))
    assert found.failures == 0
    other = np.triu(test.people[:, None] != test.people[None], 1)
    assert found.false_accepts == pytest.approx((scores[other] >= point.verification).mean(), abs=2 / other.sum())


def test_a_missed_photo_is_missed_in_all_its_pairs_and_a_person_without_a_face_in_every_search() -> None:
    every, point = labelled(5, 12, 0.1), point_of(5)
    assert recognition(every, point).tar == 1.0
    blind = every.people[every.found] != every.people[np.argmax(every.photos[every.people] > 1)]
    some = Labelled(every.people, every.found[blind], every.embeddings[blind])
    found = recognition(some, point)
    assert found.failures == (~blind).sum() > 1
    assert found.tar == pytest.approx(1 - some.missed_pairs.sum() / some.mated_pairs.sum())
    assert found.found is not None and found.found.share == pytest.approx(1 - (~blind).sum() / found.found.trials.sum())


def test_too_few_calibration_people_show_no_rate() -> None:
    point = operating_point([labelled(1, 3, 0.5)], 1e-4, 1e-3, enrolled=12)
    assert (point.verification, point.identification) == (None, None)
    found = recognition(labelled(2, 12, 0.5), point)
    assert (found.tar, found.fnir) == (None, None)
    assert 0.5 < found.auc <= 1.0


def test_people_who_are_too_few_for_a_rate_are_replaced_whatever_is_found_of_them() -> None:
    few, many = labelled(1, 8, 0.5), labelled(2, 60, 0.5)
    assert operating_point([few, many], 0.001, 0.02, 12).sources[:2] == (1, 1)
    unseen = Labelled(many.people, many.found[:20], many.embeddings[:20])
    assert operating_point([many, few], 0.001, 0.02, 12).sources == operating_point([unseen, few], 0.001, 0.02, 12).sources == (0, 0, 0)


def test_the_rate_of_strangers_holds_for_a_gallery_of_another_size() -> None:
    """Thresholds of 300 calibration people, for a gallery of 600: of its strangers 10 % are to find somebody."""
    point = operating_point([labelled(7, 300, 1.2)], 0.01, 0.1, enrolled=600)
    assert recognition(labelled(8, 600, 1.2), point).strangers_accepted == pytest.approx(0.1, abs=0.035)


def test_a_drawn_threshold_lies_as_thresholds_of_other_people_do() -> None:
    """The interval of a figure contains that others would have set another threshold."""
    others = [operating_point([labelled(seed, 60, 0.9)], 0.01, 0.1, enrolled=60) for seed in range(24)]
    for kind in (0, 1):
        values = [(one.verification, one.identification)[kind] for one in others]
        spread = np.mean([one.drawn[kind].std() for one in others])
        assert np.std(values) == pytest.approx(spread, rel=0.5)
        assert np.mean([one.drawn[kind].mean() for one in others]) == pytest.approx(np.mean(values), abs=0.02)


def test_drawn_thresholds_are_of_the_same_rate_where_only_some_pairs_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A false accept rate that allows more pairs than are kept, as 3,000 photos at 0.01 do."""
    people = labelled(4, 120, 0.9)
    threshold = operating_point([people], 0.1, 0.1, enrolled=120).verification
    assert threshold is not None
    found = {}
    for kept in (10**6, 5000):
        monkeypatch.setattr(drawn_thresholds, "MOST_KEPT", kept)
        found[kept] = drawn_thresholds.verification_thresholds(people, 0.1, threshold, 0)
    every, some = found.values()
    assert np.median(some) == pytest.approx(np.median(every), abs=every.std() / 2)
    assert every.std() * 0.8 < some.std() < 2 * every.std()


def test_a_recognizer_that_hardly_finds_the_calibration_people_is_judged_by_the_same_figures() -> None:
    """Labels alone decide which rates are shown: else a detector that finds little there would escape the comparison of TAR and FNIR."""
    many, test = labelled(2, 60, 0.9), labelled(3, 12, 0.9)
    usual = recognition(test, operating_point([many], 0.01, 0.1, 12))
    for count in (20, 0):
        blind = Labelled(many.people, many.found[:count], many.embeddings[:count])
        found = recognition(test, operating_point([blind], 0.01, 0.1, 12))
        assert found.tar is not None and found.fnir is not None and usual.tar is not None
        assert found.tar < usual.tar or count
    assert (found.tar, found.fnir, found.auc) == (0.0, 1.0, 0.0)


def test_the_threshold_of_accuracy_is_of_people_with_two_photos() -> None:
    """Calibration people with one photo each show no mated score; the highest of their scores is not the most accurate threshold."""
    several, test = labelled(2, 300, 0.9), labelled(3, 60, 0.9)
    first = np.unique(several.people, return_index=True)[1]
    single = Labelled(np.arange(len(first)), np.arange(len(first)), several.embeddings[first])
    point = operating_point([single, test], 0.01, 0.1, 60)
    assert point.sources == (0, 0, 1)
    alone = operating_point([single], 0.01, 0.1, 60)
    assert recognition(test, point).accuracy > recognition(test, alone).accuracy + 0.05


def test_a_training_that_diverged_is_an_error_of_the_user() -> None:
    people = labelled(1, 12, 0.5)
    people.embeddings[2] = np.nan
    with pytest.raises(UserError, match="diverged"):
        operating_point([labelled(2, 60, 0.5), people], 0.01, 0.1, 12)
