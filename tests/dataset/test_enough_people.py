"""The plan of a data set: who is trained on, and for whom that does no good."""

import pytest

from face_assets.core.params_yaml import parse_params
from face_assets.dataset.enough_people import Plan, plan_for, plan_of, planned
from face_assets.dataset.manifest import make_manifest


def plan(people: int, photos: int, text: str = "") -> Plan:
    return plan_for({f"Person {number}": photos for number in range(people)}, parse_params(text))


@pytest.mark.parametrize(("people", "photos"), [(2, 1), (8, 1), (8, 3), (50, 2), (250, 4)])
def test_few_people_go_live_with_the_starting_weights_and_all_are_test_people(people: int, photos: int) -> None:
    found = plan(people, photos)
    assert (found.trains, found.refusal) == (False, None)
    assert f"all {people:,} people are test people" in found.reason
    assert f"{found.trainable:,} people to train on" in found.reason and "train.min_people 200" in found.reason


def test_from_enough_people_on_an_embedder_is_trained() -> None:
    assert plan(330, 2).trains
    assert plan(50, 2, "{train: {min_people: 30}, split: {min_test_people: 5}}").trains


def test_what_nobody_could_judge_is_not_trained() -> None:
    found = plan(1000, 1)
    assert (found.trains, found.refusal) == (False, None)
    assert "0 of the test people have two photos or more, too few to judge" in found.reason
    off = plan(1000, 2, "train: {epochs: 0}")
    assert not off.trains and "train.epochs is 0" in off.reason


def test_random_weights_are_refused_with_the_number_of_people_that_they_take() -> None:
    found = plan(8, 2, "embedder: {weights: scratch}")
    assert found.refusal and "some 65 people with two photos each" in found.refusal and "with which two people suffice" in found.refusal
    enough = plan(90, 8, "embedder: {weights: scratch}")
    assert (enough.trains, enough.refusal) == (True, None)


def test_one_person_is_told_apart_from_nobody() -> None:
    found = plan(1, 9).refusal
    assert found and "one person alone: Person 0. It takes two to tell people apart" in found
    assert plan(1, 9, "embedder: {weights: scratch}").refusal == found


def test_the_plan_depends_on_the_people_and_not_on_the_splits_that_it_gave_them() -> None:
    params = parse_params("")
    manifest = make_manifest(((f"Person {number}/1.jpg", str(number)) for number in range(40)), params.split)
    first = plan_of(manifest.photos, params)
    everybody = planned(manifest, first)
    assert len({photo.split for photo in manifest.photos}) == 3 and {photo.split for photo in everybody.photos} == {"test"}
    assert plan_of(everybody.photos, params) == first
