"""Suppression in groups against torch's and facenet-pytorch's own, one group after another."""

import sys

import numpy as np
import pytest
import torch

from face_assets.detection import suppression
from face_assets.detection.facenet_pytorch import import_facenet_pytorch


def boxes_of(count: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    corners = random.integers(0, 60, (count, 2))
    scores = random.integers(0, 12, (count, 1)) / 12  # many equal ones
    return np.concatenate([corners, corners + random.integers(8, 40, (count, 2)), scores], axis=1).astype(np.float32)


@pytest.mark.parametrize("largest", [1024, 4])
@pytest.mark.parametrize("of_smaller", [False, True])
def test_groups_are_suppressed_as_one_after_another(monkeypatch: pytest.MonkeyPatch, of_smaller: bool, largest: int) -> None:
    monkeypatch.setattr(suppression, "LARGEST_GROUP", largest)
    import_facenet_pytorch()
    theirs = sys.modules["facenet_pytorch.models.utils.detect_face"]
    boxes = boxes_of(400, 0)
    groups = np.random.default_rng(1).choice([0, 1, 3, 4, 9], 400, p=[0.5, 0.3, 0.1, 0.09, 0.01])
    expected = []
    for group in np.unique(groups):
        mine = np.flatnonzero(groups == group)
        one = torch.from_numpy(boxes[mine])
        zeros = torch.zeros(len(mine))
        if of_smaller:
            keep = theirs.batched_nms_numpy(one[:, :4], one[:, 4], zeros, 0.5, "Min")
        else:
            keep = theirs.batched_nms(one[:, :4], one[:, 4], zeros, 0.5)
        expected += list(mine[keep.numpy()])
    assert list(suppression.suppress(boxes, groups, 0.5, of_smaller)) == expected


def test_nobody_is_suppressed_among_nobody() -> None:
    assert suppression.suppress(np.empty((0, 5), np.float32), np.empty(0, np.int64), 0.5).tolist() == []
