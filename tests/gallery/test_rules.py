"""The gate's rules against ways around them: files under two names, parameters that change who is enrolled, faces production misses."""

import numpy as np

from face_assets.core.params import Gallery as Limits
from face_assets.core.step_libraries import LIBRARIES
from face_assets.core.step_versions import _steps
from face_assets.gallery import gate
from face_assets.gallery.changes import Changes, Enrolment, changes_between, with_counts
from face_assets.gallery.earlier_names import returned_people
from face_assets.gallery.gate import FACES, PEOPLE, PHOTOS, Levels, Photo, Templates, kept_faces, unseen_photos, vanished_people

LEVELS = Levels(0.6, 0.5, 0.2)
NOBODY = Templates([], np.zeros((0, 2), np.float32), LEVELS)
PRODUCTION = Templates(["Ann", "Bob"], np.eye(2, dtype=np.float32), LEVELS)


def changes(new: str = "", changed: str = "", vanished: str = "", **renamed: str) -> Changes:
    """Changes of people by their keys; renamed: the new key → the old one."""
    return Changes(frozenset(new.split()), frozenset(changed.split()), frozenset(vanished.split()), renamed)


def test_a_file_that_no_longer_stands_under_two_names_is_new_under_the_one() -> None:
    before = Enrolment.of([("Ann", "a"), ("Ann", "stranger"), ("Bob", "b"), ("Bob", "stranger")])
    after = Enrolment.of([("Ann", "a"), ("Ann", "stranger"), ("Bob", "b")])
    assert changes_between(before, after).changed == {"ann"}
    assert "stranger" not in before.photos["ann"]


def test_a_person_whose_photos_are_exchanged_by_a_file_under_two_names_is_changed() -> None:
    before = Enrolment.of([("Ann", "a"), ("Ann", "stranger"), ("Bob", "b"), ("Bob", "stranger")])
    after = Enrolment.of([("Ann", "a"), ("Ann", "stranger"), ("Bob", "b"), ("Bob", "a")])
    assert changes_between(before, after).changed == {"ann"}


def test_photos_that_a_parameter_brings_into_the_gallery_are_judged_as_new_ones() -> None:
    found, again = with_counts(changes(), {"ann": 3, "bob": 3, "eve": 2}, {"ann": 5, "bob": 3, "eve": 1}, {"ann": 5, "bob": 3, "eve": 1})
    assert found.changed == {"ann", "eve"} and again == {"ann"}


def test_a_changed_person_whom_productions_detector_does_not_find_is_in_doubt() -> None:
    found = list(kept_faces(PRODUCTION, NOBODY, changes(changed="ann"), {"ann": "Ann"}))
    assert [(one.check, one.people, one.enrolled) for one in found] == [(FACES, ("Ann",), True)]


def test_a_new_photo_whose_face_productions_detector_does_not_find_is_in_doubt() -> None:
    photos = [Photo("Ann/new.jpg", "Ann", True), Photo("Ann/old.jpg", "Ann", False), Photo("Eve/new.jpg", "Eve", True)]
    found = list(unseen_photos(photos, changes("eve", "ann")))
    assert [(one.check, one.people, one.enrolled) for one in found] == [(PHOTOS, ("Ann",), True)]
    assert found[0].sentence.startswith("Ann/new.jpg: ")


def test_a_rename_is_found_where_productions_detector_does_not_find_the_face() -> None:
    found = list(kept_faces(PRODUCTION, NOBODY, changes("eve", vanished="ann", eve="ann"), {"eve": "Eve"}))
    assert [one.people for one in found] == [("Ann", "Eve")]


def test_a_name_that_an_earlier_release_enrolled_comes_back_with_its_photos_or_is_in_doubt() -> None:
    earlier = [("v2.0.0", Enrolment.of([("Ann", "a"), ("Ann", "b")])), ("v1.0.0", Enrolment.of([("Ann", "stranger"), ("Zoë", "z")]))]
    strange = Enrolment.of([("ANN", "stranger"), ("Bob", "b2"), ("Zoë", "z")])
    assert [(one.check, one.people) for one in returned_people(strange, {"ann", "bob", "zoë"}, earlier)] == [(FACES, ("ANN",))]
    assert not list(returned_people(Enrolment.of([("Ann", "a")]), {"ann"}, earlier))


def test_a_person_renamed_to_somebody_who_is_not_enrolled_has_vanished() -> None:
    renamed = changes("eve", vanished="ann", eve="ann")
    names = {"ann": "Ann", "bob": "Bob"}
    assert [(one.check, one.people) for one in vanished_people(names, renamed, {"bob"})] == [(PEOPLE, ("Ann",))]
    assert not list(vanished_people(names, renamed, {"bob", "eve"}))


def test_the_steps_that_judge_people_are_made_again_under_other_libraries_and_code() -> None:
    assert {"scipy", "openvino", "torch"} <= set(LIBRARIES["gallery_audit"]) & set(LIBRARIES["label_audit"])
    assert {"numpy", "openvino", "torch"} <= set(LIBRARIES["gallery_verdict"])
    assert _steps()["gallery_verdict"]["modules"] == ["face_assets.gallery.verdict"]


def test_a_photo_of_poor_quality_is_in_doubt_and_an_unknown_quality_is_not() -> None:
    photos = [gate.Photo(f"a/{number}.jpg", "a", new=True) for number in range(3)]
    measured = [gate.Quality(1.0, 100.0, 3.0, quality) for quality in (12.0, 80.0, float("nan"))]
    (finding,) = gate.good_photos(photos, measured, (), Limits())
    assert finding.sentence == "a/0.jpg: quality 12, gallery.min_quality asks for 50"
