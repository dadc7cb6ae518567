"""Figures by group: right against the exact ones, with intervals over people, and none for groups that are too small."""

import unicodedata

import numpy as np
import pytest

from face_assets.biometrics.labelled import Labelled
from face_assets.biometrics.verification import evaluate
from face_assets.core.errors import UserError
from face_assets.evaluation.groups import Figure, Group, by_group, gaps, judge_false_matches, judge_gaps, read_attributes

Crowd = tuple[Labelled, list[str]]


def faces(people: int, photos: int, spread: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around a centre for each person."""
    random = np.random.default_rng(seed)
    centres = np.repeat(random.normal(size=(people, 32)), photos, axis=0)
    found = centres + spread * random.normal(size=centres.shape)
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32), np.repeat(np.arange(people), photos)


@pytest.fixture(scope="module")
def crowd() -> Crowd:
    """Forty people who are told apart well, forty not so well, five more, and some without a group."""
    parts = [faces(40, 4, 0.5, 1), faces(40, 4, 1.0, 2), faces(5, 4, 0.5, 3), faces(3, 4, 0.5, 4)]
    people = np.unique(np.concatenate([numbers + 100 * place for place, (_, numbers) in enumerate(parts)]), return_inverse=True)[1]
    groups = [name for name, (found, _) in zip(("easy", "hard", "few", ""), parts, strict=True) for _ in found]
    return Labelled(people, np.arange(len(people)), np.concatenate([found for found, _ in parts])), groups


def everybody(embeddings: np.ndarray, people: np.ndarray) -> Labelled:
    return Labelled(people, np.arange(len(people)), embeddings)


def test_figures_are_those_of_the_group_evaluated_alone(crowd: Crowd) -> None:
    photos, groups = crowd
    found = {group.name: group for group in by_group(photos, groups, 0.5, (0.01, 1e-6), seed=0)}
    assert set(found) == {"easy", "hard", "few"}
    for name in ("easy", "hard"):
        mine = np.array(groups) == name
        exact = evaluate(photos.embeddings[mine], photos.people[mine], 0.01, 0)
        figures = found[name].figures
        assert figures["auc"].value == pytest.approx(exact.auc, abs=1e-3)
        assert figures["eer"].value == pytest.approx(exact.eer, abs=3e-3)
        assert figures["tar_at_far_0.01"].value == pytest.approx(exact.tar_at(0.01).tar, abs=6e-3)
        assert figures["tar_at_far_1e-06"].value is None, "too few pairs to tell"
        for figure in figures.values():
            if figure.value is not None:
                assert figure.low is not None
                assert figure.high is not None
                assert figure.low - 0.02 <= figure.value <= figure.high + 0.02
    wide, narrow = found["hard"].figures["accept_rate"], found["easy"].figures["accept_rate"]
    assert wide.high < narrow.low, "the groups differ by more than chance"  # type: ignore[operator]


def test_five_people_get_a_sentence_and_no_figure(crowd: Crowd) -> None:
    few = next(group for group in by_group(*crowd, 0.5, (0.01,), seed=0) if group.name == "few")
    assert not few.figures
    assert few.note == "few: 5 test people with two photos or more, too few for a figure; 10 are needed"


def test_the_gate_bounds_the_gap_of_what_can_be_measured(crowd: Crowd) -> None:
    found = {"kind": by_group(*crowd, 0.5, (0.01,), seed=0)}
    ((gap, said),) = gaps(found)
    assert (gap.worst, gap.best) == ("hard", "easy")
    assert "people of hard are recognized" in said
    reasons, notes = judge_gaps(found, 0.05)
    assert "more than evaluation.max_group_gap 0.05" in reasons[0]
    assert any(note.startswith("few: 5") for note in notes)
    assert judge_gaps(found, 1.0)[0] == []
    few, enough = ({"kind": [_rated("low", count, 0.8), _rated("high", count, 1.0), _rated("same", count, 1.0)]} for count in (10, 200))
    assert judge_gaps(few, 0.05)[0] == [] and "0.200 apart" in judge_gaps(few, 0.05)[1][-1]
    assert "0.200 apart, at least 0.1" in judge_gaps(enough, 0.05)[0][0]
    alone = {"kind": [group for group in found["kind"] if group.name != "hard"]}
    assert "not shown to hold" in judge_gaps(alone, 0.05)[1][-1]


def _rated(name: str, people: int, rate: float) -> Group:
    return Group(name, people, people, 2 * people, {"accept_rate": Figure(rate, rate, rate)})


def test_a_photo_without_a_face_is_missed_in_its_group_and_no_other(crowd: Crowd) -> None:
    photos, groups = crowd
    kept = np.arange(len(groups)) != groups.index("easy")
    fewer = Labelled(photos.people, photos.found[kept], photos.embeddings[kept])
    before, after = ({group.name: group for group in by_group(one, groups, 0.2, (), seed=0)} for one in (photos, fewer))
    assert after["hard"] == before["hard"]
    rates = [one["easy"].figures["accept_rate"].value for one in (before, after)]
    assert rates[0] - rates[1] == pytest.approx(3 / 240, abs=1e-6)  # the photo's three of the group's 40 x 6 mated pairs
    assert after["easy"].photos == before["easy"].photos


def test_a_group_whose_people_are_taken_for_one_another_is_bounded(crowd: Crowd) -> None:
    found = {"kind": by_group(*crowd, 0.1, (), seed=0)}
    reasons = judge_false_matches(found, 0.05)
    assert len(reasons) == 2 and all("more than evaluation.max_group_fmr 0.05" in reason for reason in reasons)
    assert judge_false_matches(found, 1.0) == []


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    truth = by_group(everybody(*faces(500, 2, 0.8, 99)), ["all"] * 1000, 0.6, (), seed=0)[0].figures["accept_rate"].value
    assert truth is not None
    covered = 0
    for seed in range(25):
        figure = by_group(everybody(*faces(40, 4, 0.8, seed)), ["all"] * 160, 0.6, (), seed=seed)[0].figures["accept_rate"]
        assert figure.low is not None
        assert figure.high is not None
        covered += figure.low <= truth <= figure.high
    assert covered >= 20, covered


def test_mistakes_in_the_file_are_named() -> None:
    key, found = read_attributes(b"identity,age,light\nAnn,old,dim\nBob,young,\n", "people.csv")
    assert (key, found) == ("identity", {"age": {"Ann": "old", "Bob": "young"}, "light": {"Ann": "dim", "Bob": ""}})
    for text, sentence in (
        ("name,age\n", "line 1"),
        ("", "line 1"),
        ("identity,age\nAnn\n", "line 2: 2 columns"),
        ("identity,age\nAnn,old\nAnn,young\n", "line 3: 'Ann' is 'young' here"),
    ):
        with pytest.raises(UserError, match=sentence):
            read_attributes(text.encode(), "people.csv")
    with pytest.raises(UserError, match="UTF-8"):
        read_attributes(b"\xff\xfe", "people.csv")


def test_names_match_in_either_unicode_form_and_without_blanks() -> None:
    decomposed = unicodedata.normalize("NFD", "Zoë Müller")
    key, found = read_attributes(f"photo , âge\n{decomposed}/1.jpg ,alt\n Zoë Müller/2.jpg,jung \n".encode(), "people.csv")
    assert (key, found) == ("photo", {"âge": {"Zoë Müller/1.jpg": "alt", "Zoë Müller/2.jpg": "jung"}})
    with pytest.raises(UserError, match="line 3: 'Zoë' is 'b' here and 'a' before"):
        read_attributes(f"identity,age\nZoë,a\n{unicodedata.normalize('NFD', 'Zoë')},b\n".encode(), "people.csv")
