"""The subject of photos with several faces is the one whom the person's other photos show."""

import numpy as np
import pytest

from face_assets.audit.consensus import choose_subjects

SIZE = 64


class Faces:
    """Embeddings of people at random, several photos of each face."""

    def __init__(self, seed: int):
        self.random = np.random.default_rng(seed)

    def person(self) -> np.ndarray:
        return self.random.normal(size=SIZE)

    def of(self, person: np.ndarray) -> np.ndarray:
        face = person + 0.7 * self.random.normal(size=SIZE)
        return np.asarray(face / np.linalg.norm(face), np.float32)


def chosen(*photos: list[np.ndarray]) -> list[int]:
    """The place of the chosen face in each photo."""
    numbers = np.repeat(np.arange(len(photos)), [len(photo) for photo in photos])
    rows = choose_subjects(np.concatenate(photos), numbers).rows
    assert (numbers[rows] == np.arange(len(photos))).all()
    return [int(row) for row in rows - np.searchsorted(numbers, np.arange(len(photos)))]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [3, 12])
def test_a_stranger_before_the_subject_is_no_subject_even_in_every_photo(seed: int, count: int) -> None:
    faces = Faces(seed)
    subject = faces.person()
    crowds = [[faces.of(faces.person()) for _ in range(place % 4 + 1)] + [faces.of(subject)] for place in range(count)]
    assert chosen(*crowds) == [place % 4 + 1 for place in range(count)]


def test_a_companion_of_most_photos_is_not_the_subject() -> None:
    """Both are in all photos but one, which shows the subject alone."""
    for count in (3, 20):
        faces = Faces(1)
        subject, companion = faces.person(), faces.person()
        together = [[faces.of(companion), faces.of(subject)] for _ in range(count)]
        assert chosen(*together, [faces.of(subject)]) == [1] * count + [0]


def test_the_first_choice_stays_where_nothing_speaks_against_it() -> None:
    faces = Faces(2)
    subject, companion = faces.person(), faces.person()
    both = [[faces.of(subject), faces.of(companion)] for _ in range(9)]
    both[4].reverse()
    box = faces.of(subject)
    assert chosen([faces.of(subject)], [faces.of(subject)], [box, np.asarray(box + 0.001, np.float32)]) == [0, 0, 0]
    assert chosen(*both) == [0, 0, 0, 0, 1, 0, 0, 0, 0]  # the one who comes first in most


def test_a_photo_of_other_people_alone_keeps_its_first_choice() -> None:
    """So that the audit finds it as filed under the wrong person."""
    for seed in range(20):
        faces = Faces(seed)
        subject = faces.person()
        others = [faces.of(faces.person()) for _ in range(4)]
        assert chosen(others, *[[faces.of(subject)] for _ in range(4)]) == [0] * 5


def test_embeddings_that_tell_nobody_apart_choose_nobody() -> None:
    faces = Faces(3)
    everybody = 30 * faces.person()
    assert chosen(*[[faces.of(everybody) for _ in range(3)] for _ in range(5)]) == [0] * 5


def test_many_photos_take_few_seeds() -> None:
    faces = Faces(4)
    subject = faces.person()
    crowd = [[faces.of(faces.person()), faces.of(subject)] for _ in range(600)]
    assert chosen(*crowd) == [1] * 600
