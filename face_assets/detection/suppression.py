"""Greedy non-maximum suppression in many groups of boxes at once, with the result of one group after another."""

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[Any]
Ints = npt.NDArray[Any]

PAIRS_AT_ONCE = 1 << 22
LARGEST_GROUP = 1024


def suppress(boxes: Floats, groups: Ints, threshold: float, of_smaller: bool = False) -> Ints:
    """The indices of the boxes that stay: by group, best first, as torchvision's batched_nms orders them within one.

    boxes: float32 (n, 5 or more), corners and score; groups: (n,). `of_smaller` measures the overlap against the smaller box, pixels
    inclusive, as facenet-pytorch's "Min" does.
    """
    order = np.lexsort((-boxes[:, 4], groups))
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    sizes = np.diff(starts, append=len(order))
    if of_smaller:
        order = _by_numpy(boxes[:, 4], groups, starts, sizes)
    kept = np.ones(len(order), bool)
    kept[:] = sizes.repeat(sizes) == 1  # a single box is not suppressed
    ordered = boxes[order, :4]
    more = np.float32(1 if of_smaller else 0)
    # groups of similar size together, the shorter ones padded with boxes that overlap nothing
    for width, of_width in _by_width(starts, sizes):
        most = max(1, PAIRS_AT_ONCE // (width * width))
        for first in range(0, len(of_width), most):
            some = of_width[first : first + most]
            places = starts[some][:, None] + np.arange(width)
            filled = np.arange(width) < sizes[some][:, None]
            places[~filled] = 0
            if width > LARGEST_GROUP:
                stays = _one_by_one(ordered[places[0][filled[0]]], threshold, more)[None]
                kept[places[0][filled[0]]] = stays
                continue
            over = _overlapping(ordered[places], np.float32(threshold), more)
            over &= filled[:, :, None] & filled[:, None, :]
            stays = _survivors(over)
            kept[places[filled]] = stays[filled]
    return np.asarray(order[kept])


def _by_numpy(scores: Floats, groups: Ints, starts: Ints, sizes: Ints) -> Ints:
    """The order by group, best first, with equal scores as numpy's sort leaves them: good faces often share one just below 1, and
    facenet-pytorch sorts them so."""
    order = np.argsort(groups, kind="stable")
    for start, size in zip(starts, sizes, strict=True):
        mine = order[start : start + size]
        order[start : start + size] = mine[np.argsort(scores[mine])[::-1]]
    return order


def _by_width(starts: Ints, sizes: Ints) -> list[tuple[int, Ints]]:
    """Groups of more than one box, by the next power of two of their size."""
    widths = np.where(sizes > 1, 1 << np.ceil(np.log2(np.maximum(sizes, 2))).astype(np.int64), 0)
    found = []
    for width in np.unique(widths[widths > 0]):
        of_width = np.flatnonzero(widths == width)
        if width > LARGEST_GROUP:
            found += [(int(sizes[one]), np.array([one])) for one in of_width]
        else:
            found.append((int(sizes[of_width].max()), of_width))
    return found


def _overlapping(boxes: Floats, threshold: np.float32, more: np.float32) -> npt.NDArray[np.bool_]:
    """A mask of boxes that overlap a later one too much: (groups, width, width) of boxes (groups, width, 4)."""
    x1, y1, x2, y2 = (boxes[..., side] for side in range(4))
    area = (x2 - x1 + more) * (y2 - y1 + more)
    shared = np.minimum(x2[:, :, None], x2[:, None]) - np.maximum(x1[:, :, None], x1[:, None]) + more
    height = np.minimum(y2[:, :, None], y2[:, None]) - np.maximum(y1[:, :, None], y1[:, None]) + more
    shared = np.maximum(shared, 0) * np.maximum(height, 0)
    one, other = area[:, :, None], area[:, None]
    whole = np.minimum(one, other) if more else one + other - shared
    return np.triu(~(shared <= threshold * whole), 1)


def _survivors(over: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """A mask, (groups, width), of the boxes that no earlier box that stays overlaps.

    Each round settles at least the next box of every group, and a few rounds settle most.
    """
    stays: npt.NDArray[Any] = np.ones(over.shape[:2], bool)
    while True:
        now = ~(over & stays[:, :, None]).any(axis=1)
        if (now == stays).all():
            return stays
        stays = now


def _one_by_one(boxes: Floats, threshold: float, more: np.float32) -> npt.NDArray[np.bool_]:
    """The mask for one large group, (n, 4), without a table of all pairs."""
    x1, y1, x2, y2 = (boxes[:, side] for side in range(4))
    area = (x2 - x1 + more) * (y2 - y1 + more)
    stays = np.zeros(len(boxes), bool)
    left = np.arange(len(boxes))
    while len(left):
        best, left = left[0], left[1:]
        stays[best] = True
        width = np.minimum(x2[best], x2[left]) - np.maximum(x1[best], x1[left]) + more
        height = np.minimum(y2[best], y2[left]) - np.maximum(y1[best], y1[left]) + more
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        whole = np.minimum(area[best], area[left]) if more else area[best] + area[left] - shared
        left = left[shared <= np.float32(threshold) * whole]
    return stays
