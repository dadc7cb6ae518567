"""The audit's arithmetic, on embeddings of people drawn around directions of their own."""

import numpy as np
import pytest

from face_assets.audit import scores
from face_assets.audit.judgement import judge_labels
from face_assets.audit.scores import photo_scores
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


def relabel(face: Face, person: str) -> Face:
    return Face(f"{person}/{face.path.replace('/', '-')}", face.md5, person, face.split, face.crop_key)


def test_a_photo_under_another_persons_name_is_found_with_the_person_it_shows() -> None:
    faces, vectors = draw([4] * 20)
    faces[5] = relabel(faces[5], "p07")
    found = judge_labels(faces, vectors, "starting weights")
    assert [(one.path, one.identity, one.agrees_with) for one in found.findings] == [(faces[5].path, "p07", "p01")]
    assert found.findings[0].own < 0.5 < found.findings[0].other
    assert (found.judged, found.unable) == (80, "")


def test_right_labels_have_no_findings() -> None:
    assert judge_labels(*draw([1, 2, 3, 4, 5] * 5), "starting weights").findings == []


@pytest.mark.parametrize(
    ("counts", "noise", "reason"),
    [
        ([5], 0.05, "5 photos of 1 people"),
        ([1, 1, 1], 0.05, "3 photos of 3 people"),
        ([], 0.05, "0 photos of 0 people"),
        ([4] * 20, 5.0, "do not differ enough"),
    ],
)
def test_labels_that_cannot_be_judged_have_a_reason_and_no_findings(counts: list[int], noise: float, reason: str) -> None:
    found = judge_labels(*draw(counts, noise), "starting weights")
    assert reason in found.unable
    assert found.findings == []


def test_scores_in_blocks_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    faces, vectors = draw([1, 2, 3] * 7)
    people = np.array([int(face.identity[1:]) for face in faces])
    whole = photo_scores(vectors, people)
    monkeypatch.setattr(scores, "SCORES_AT_ONCE", 50)
    blocks = photo_scores(vectors, people)
    assert (whole.nearest == blocks.nearest).all()
    np.testing.assert_allclose(whole.own, blocks.own, atol=1e-6)
    np.testing.assert_allclose(whole.other, blocks.other, atol=1e-6)
    assert np.isnan(whole.own[people % 3 == 0]).all()
