"""Grouping of faces: people who are apart are apart, and a chain of similar faces is no person."""

import numpy as np

from face_assets.biometrics.clustering import groups_of_faces


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_photos_of_each_person_are_one_group() -> None:
    random = np.random.default_rng(0)
    centres = random.normal(size=(40, 64))
    people = np.repeat(np.arange(40), random.integers(1, 6, 40))
    groups = groups_of_faces(unit(centres[people] + 0.3 * random.normal(size=(len(people), 64))), 0.5)
    assert len(set(groups.tolist())) == 40
    assert len({(group, person) for group, person in zip(groups.tolist(), people.tolist(), strict=True)}) == 40


def test_a_chain_is_not_one_person() -> None:
    angles = np.arange(12) * 0.25  # neighbours have a cosine of 0.97, the ends of -0.92
    groups = groups_of_faces(unit(np.stack([np.cos(angles), np.sin(angles)], axis=1)), 0.8)
    assert groups[0] == groups[1]
    assert groups[0] != groups[-1]


def test_one_face_is_a_group_and_none_are_none() -> None:
    assert groups_of_faces(np.eye(1, 4, dtype=np.float32), 0.5).tolist() == [0]
    assert groups_of_faces(np.empty((0, 4), np.float32), 0.5).tolist() == []
