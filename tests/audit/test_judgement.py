"""The audit's arithmetic, on embeddings of people drawn around directions of their own."""

import numpy as np
import pytest

from face_assets.audit.judgement import Audit, judge_labels
from face_assets.biometrics import blocks
from face_assets.detection.steps import Face

SIZE = 64


def draw(counts: list[int], noise: float = 0.05, seed: int = 0) -> tuple[list[Face], np.ndarray]:
    """Faces of people with so many photos each, and embeddings float32 (n, SIZE) of unit length."""
    chance = np.random.default_rng(seed)
    people = np.repeat(np.arange(len(counts)), counts)
    centres = chance.normal(size=(len(counts), SIZE)) / np.sqrt(SIZE)
    vectors = centres[people] + noise * chance.normal(size=(len(people), SIZE))
    faces = [Face(f"p{person:02}/{row}.jpg", f"{row:032x}", f"p{person:02}", "train", f"{row:032x}") for row, person in enumerate(people)]
    return faces, (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def relabel(face: Face, person: str, split: str = "train") -> Face:
    return Face(f"{person}/{face.path.replace('/', '-')}", face.md5, person, split, face.crop_key)


def judge(faces: list[Face], vectors: np.ndarray) -> Audit:
    return judge_labels(faces, vectors, "starting weights")


def found(audit: Audit) -> list[tuple[str, str, str]]:
    return [(one.kind, one.path, one.agrees_with) for one in audit.findings]


def test_a_photo_under_another_persons_name_is_found_with_the_person_it_shows() -> None:
    faces, vectors = draw([4] * 20)
    faces[5] = relabel(faces[5], "p07")
    audit = judge(faces, vectors)
    assert found(audit) == [("wrong_person", faces[5].path, "p01")]
    assert audit.findings[0].own < 0.5 < audit.findings[0].other
    assert (audit.judged, audit.people, audit.unable) == (80, 20, "")


def test_swapped_photos_of_people_with_three_are_found_and_accuse_no_other_photo() -> None:
    faces, vectors = draw([3] * 20)
    for one, other in ((0, 3), (7, 10), (20, 40)):
        faces[one], faces[other] = relabel(faces[one], faces[other].identity), relabel(faces[other], faces[one].identity)
    swapped = {faces[row].path for row in (0, 3, 7, 10, 20, 40)}
    assert {one.path for one in judge(faces, vectors).findings} == swapped


def test_one_person_under_two_names_is_a_pair_and_no_photo_of_it_is_wrong() -> None:
    faces, vectors = draw([6] + [3] * 20)
    faces[:2] = [relabel(face, "p00 again", "test") for face in faces[:2]]
    audit = judge(faces, vectors)
    assert found(audit) == [("two_names", "p00 again", "p00")]
    assert "one in the train split and one in the test split" in audit.findings[0].reason


def test_two_people_under_one_name_are_found_by_the_smaller_groups_photos() -> None:
    faces, vectors = draw([4, 3] + [3] * 20)
    faces[4:7] = [relabel(face, "p00") for face in faces[4:7]]
    assert sorted(found(judge(faces, vectors))) == [("two_people", face.path, "") for face in faces[4:7]]


def test_a_group_of_photos_of_a_known_person_is_wrong_and_no_second_person() -> None:
    faces, vectors = draw([6] * 20)
    faces[6:9] = [relabel(face, "p00") for face in faces[6:9]]
    assert sorted(found(judge(faces, vectors))) == [("wrong_person", face.path, "p01") for face in faces[6:9]]


def test_all_photos_of_a_person_under_another_persons_name_are_one_person_under_two_names() -> None:
    faces, vectors = draw([6] + [3] * 20)
    faces[:3] = [relabel(face, "somebody") for face in faces[:3]]
    assert {(one.identity, one.agrees_with) for one in judge(faces, vectors).findings} == {("somebody", "p00")}


def test_a_stranger_among_a_persons_photos_is_unlike_and_agrees_with_nobody() -> None:
    faces, vectors = draw([4] * 20 + [1])
    faces[80] = relabel(faces[80], "p03")
    assert found(judge(faces, vectors)) == [("unlike", faces[80].path, "")]


def test_right_labels_have_no_findings() -> None:
    assert judge(*draw([1, 2, 3, 4, 5] * 5)).findings == []


@pytest.mark.parametrize(
    ("counts", "noise", "reason"),
    [
        ([5], 0.05, "5 photos of 1 people"),
        ([1, 1, 1], 0.05, "3 photos of 3 people"),
        ([], 0.05, "0 photos of 0 people"),
        ([4] * 20, 5.0, "the embedder does not distinguish"),
    ],
)
def test_labels_that_cannot_be_judged_have_a_reason_and_no_findings(counts: list[int], noise: float, reason: str) -> None:
    audit = judge(*draw(counts, noise))
    assert reason in audit.unable
    assert audit.findings == []


def test_two_people_are_enough_to_find_a_photo_of_the_one_with_the_other() -> None:
    faces, vectors = draw([5, 5])
    faces[0] = relabel(faces[0], "p01")
    assert found(judge(faces, vectors)) == [("wrong_person", faces[0].path, "p00")]


def test_an_audit_in_blocks_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    faces, vectors = draw([1, 2, 3, 6] * 7)
    faces[5], faces[30] = relabel(faces[5], "p20"), relabel(faces[30], "p02")
    faces[6:9] = [relabel(face, "another") for face in faces[6:9]]
    whole = judge(faces, vectors)
    monkeypatch.setattr(blocks, "SCORES_AT_ONCE", 50)
    assert found(judge(faces, vectors)) == found(whole) != []
