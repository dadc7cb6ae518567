"""The gate over all labelled photos: floors, losses that are not chance, people lost, and faces that a candidate does not find."""

from itertools import pairwise

import numpy as np
import pytest

from face_assets.biometrics.labelled import Labelled
from face_assets.biometrics.recognition import Recognition, operating_point, recognition
from face_assets.core.params import Evaluation
from face_assets.evaluation.gate import Verdict, judge
from face_assets.evaluation.regression import Comparison, compare_recognition

ASKED = Evaluation(far=0.01, fpir=0.1, min_auc=0.0, min_accuracy=0.0)
PEOPLE = 150
NAMES = [f"person {number}" for number in range(PEOPLE)]


def photos(spread: float, seed: int = 1, people: int = PEOPLE, each: int = 4) -> Labelled:
    """The same photos of people, by an embedder that is the worse the more it spreads them."""
    centres = np.repeat(np.random.default_rng(people).normal(size=(people, 24)), each, axis=0)
    vectors = centres + spread * np.random.default_rng(seed).normal(size=centres.shape)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return Labelled(np.repeat(np.arange(people), each), np.arange(len(vectors)), vectors)


CALIBRATION = photos(0.9, 7, people=120)


def measured(test: Labelled, asked: Evaluation = ASKED) -> Recognition:
    return recognition(test, operating_point([CALIBRATION, test], asked.far, asked.fpir, test.count))


def trained_again(test: Labelled, seed: int) -> Labelled:
    """The photos by an embedder that another seed has made: as good, but not the same."""
    vectors = test.embeddings + 0.04 * np.random.default_rng(seed).normal(size=test.embeddings.shape).astype(np.float32)
    return Labelled(test.people, test.found, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def without(test: Labelled, share: float) -> Labelled:
    """The photos without the faces that are farthest from their person's others: those that a detector overlooks."""
    scores = test.mated_search_scores()
    kept = np.sort(np.argsort(scores)[int(share * len(scores)) :])
    return Labelled(test.people, kept, test.embeddings[kept])


def compared(now: Recognition, before: Recognition, asked: Evaluation = ASKED) -> Comparison:
    return compare_recognition("v1.0.0", (now, before), NAMES[: len(now.ranked.trials)], asked)


def verdict(now: Labelled, before: Labelled, asked: Evaluation = ASKED) -> Verdict:
    return judge(measured(now, asked), [compared(measured(now, asked), measured(before, asked), asked)], asked)


def test_a_floor_that_is_missed_is_named_with_its_figure_and_parameter() -> None:
    asked = Evaluation(far=0.01, fpir=0.1, min_auc=0.95, min_accuracy=0.9, min_tar=0.5)
    assert judge(measured(photos(0.5, 1)), [], asked).passed
    refused = judge(measured(photos(3.0, 1)), [], asked)
    assert [reason.split(",")[1].split()[1] for reason in refused.reasons] == [
        f"evaluation.min_{key}" for key in ("auc", "accuracy", "tar")
    ]


def test_floors_are_judged_from_enough_people_on_and_the_verdict_says_so() -> None:
    chance = measured(photos(50.0, 1, people=9, each=2))
    asked = Evaluation(far=0.01, min_auc=0.9)
    spared = judge(chance, [], asked, fewest=10)
    assert spared.passed and "9 test people have two photos or more, and it takes 10" in spared.notes[0]
    assert not judge(chance, [], asked, fewest=9).passed
    single = measured(photos(0.5, 1, people=9, each=1))
    assert judge(single, [], asked, fewest=0).passed


def test_a_rate_that_cannot_be_told_is_no_floor_reached_and_the_comparison_is_by_auc() -> None:
    asked = Evaluation(far=1e-7, fpir=1e-6, min_tar=0.5, min_auc=0.0, min_accuracy=0.0)
    good, bad = measured(photos(0.5, 1), asked), measured(photos(2.5, 2), asked)
    found = judge(bad, [compared(bad, good, asked)], asked)
    assert "cannot be measured with so few people" in found.reasons[0] and found.reasons[1].startswith("AUC is")
    assert ["AUC" in found.notes[0], "FNIR is not compared" in found.notes[1]] == [True, True]


def test_a_loss_in_verification_and_identification_is_refused_with_its_interval() -> None:
    refused = verdict(photos(1.3, 1), photos(0.8, 1))
    tar, fnir, lost = refused.reasons
    assert tar.startswith("TAR at FAR 0.01 is ") and fnir.startswith("FNIR at FPIR 0.1 is ")
    for reason in (tar, fnir):
        assert "of v1.0.0 on the same photos: worse by" in reason
        assert "at evaluation.confidence 0.95), more than evaluation.max_regression 0.01" in reason
    assert "people whom v1.0.0 recognizes are recognized no longer" in lost and "evaluation.max_people_lost 0.05" in lost
    assert "person 1" in lost and " and " in lost
    assert verdict(photos(0.8, 1), photos(1.3, 1)).passed


@pytest.mark.parametrize("seed", range(8))
def test_what_differs_by_chance_alone_is_not_refused(seed: int) -> None:
    test = photos(0.8)
    found = verdict(trained_again(test, 100 + seed), trained_again(test, 200 + seed))
    assert found.passed, found.reasons


def test_a_face_that_only_production_finds_counts_against_the_candidate() -> None:
    test = photos(0.9, 1)
    blind = without(test, 0.05)
    found = measured(blind)
    kept = Labelled(np.unique(test.people[blind.found], return_inverse=True)[1], np.arange(len(blind.found)), blind.embeddings)
    assert measured(kept).tar > measured(test).tar, "by the photos with a face alone, it is the better one"
    refused = judge(found, [compared(found, measured(test))], ASKED)
    assert "it finds no face in 30 of 600 photos, v1.0.0 in 0" in refused.reasons[0]
    assert judge(measured(test), [compared(measured(test), found)], ASKED).passed


def test_a_few_people_lost_are_named_and_let_through() -> None:
    test = photos(0.6, 1)
    gone = np.isin(test.people, (3, 5))
    blind = Labelled(test.people, test.found[~gone], test.embeddings[~gone])
    asked = Evaluation(far=0.01, fpir=0.1, max_regression=0.05)
    found = verdict(blind, test, asked)
    assert found.passed
    assert found.notes == ["2 of 148 people whom v1.0.0 recognizes are recognized no longer: person 3, person 5"]
    strict = Evaluation(far=0.01, fpir=0.1, max_regression=0.05, max_people_lost=0.0)
    assert "more than evaluation.max_people_lost 0" in verdict(blind, test, strict).reasons[0]


def test_small_losses_in_a_row_are_refused_by_the_best_release() -> None:
    """Each release is a little worse than the one before, which alone would let it through."""
    figures = [measured(photos(0.8 + 0.02 * step)) for step in range(6)]
    asked = Evaluation(far=0.01, fpir=0.1, max_regression=0.05, max_people_lost=1.0)
    by_last = [judge(now, [compared(now, before, asked)], asked).passed for before, now in pairwise(figures)]
    by_best = [judge(now, [compared(now, figures[0], asked)], asked).passed for now in figures[1:]]
    assert all(by_last)
    assert by_best[0] and not by_best[-1]


def test_the_notes_are_of_the_comparison_and_not_of_all_test_people() -> None:
    """Where a release has learned from most of the test people, those left may show less than all do."""
    every, left = measured(photos(0.5)), Labelled(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 24), np.float32))
    few = recognition(photos(0.5, people=9), operating_point([photos(0.9, 7, people=3), left], ASKED.far, ASKED.fpir, 9))
    assert every.tar is not None and few.fnir is None
    notes = judge(every, [compared(few, few)], ASKED).notes
    assert any(note.startswith("compared by AUC") for note in notes) and any("FNIR is not compared" in note for note in notes)
