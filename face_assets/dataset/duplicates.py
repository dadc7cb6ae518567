"""Photos filed under more than one person, exact or near duplicates."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from face_assets.dataset.manifest import Photo

BITS = 64
FLAT_BITS = 4
MOST_COMPARISONS = 1_000_000_000
MOST_PAIRS = 100_000


@dataclass(frozen=True)
class NearDuplicates:
    """pairs: two photos and the number of bits in which they differ, nearest first; not_compared: number of candidates beyond
    MOST_COMPARISONS or MOST_PAIRS, 0 where the list is complete."""

    pairs: list[tuple[Photo, Photo, int]]
    not_compared: int


def exact(photos: Iterable[Photo]) -> list[list[Photo]]:
    """Groups of photos with the same bytes under more than one identity."""
    first: dict[str, Photo] = {}
    groups: dict[str, list[Photo]] = {}  # of the few md5s that are there twice
    for photo in photos:
        if (one := first.setdefault(photo.md5, photo)) is not photo:
            groups.setdefault(photo.md5, [one]).append(photo)
    named = [groups[md5] for md5 in first if md5 in groups] if groups else []
    return [group for group in named if len({photo.identity for photo in group}) > 1]


def once(photos: Iterable[Photo]) -> list[Photo]:
    """The photos without duplicates: none of those under several people, and one of the same bytes under one person."""
    every, first = list(photos), dict[str, Photo]()
    doubtful = {photo.md5 for group in exact(every) for photo in group}
    for photo in every:
        if photo.md5 not in doubtful:
            first.setdefault(photo.md5, photo)
    return list(first.values())


def search(hashes: Mapping[str, int | str | None], photos: Sequence[Photo], distance: int) -> NearDuplicates:
    """Photos of two people whose 64-bit hashes (by md5) differ in at most `distance` bits, exact duplicates left out.

    Two such hashes agree in one of distance + 1 bands (multi-index hashing, Norouzi et al. 2012), so only photos that share a band are
    compared. Nearly flat images, whose hashes say nothing, are left out, and photos that have a problem in place of a hash.
    """
    first = {photo.md5: photo for photo in reversed(photos)}
    md5s = sorted(md5 for md5, value in hashes.items() if md5 in first and isinstance(value, int) and _is_telling(value))
    values = np.array([hashes[md5] for md5 in md5s], np.uint64)
    numbers = {identity: number for number, identity in enumerate(dict.fromkeys(first[md5].identity for md5 in md5s))}
    people = np.array([numbers[first[md5].identity] for md5 in md5s], np.int64)
    edges = [BITS * band // (distance + 1) for band in range(distance + 2)]
    found: set[tuple[int, int]] = set()
    not_compared = 0
    for low, high in pairwise(edges):
        band = (values >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)
        pairs, left = _sharing(band, values, people, distance, MOST_COMPARISONS // (distance + 1), MOST_PAIRS - len(found))
        found.update(pairs)
        not_compared += left
    named = [(first[md5s[one]], first[md5s[other]], int(values[one] ^ values[other]).bit_count()) for one, other in found]
    return NearDuplicates(sorted(named, key=lambda pair: (pair[2], pair[0].path, pair[1].path)), not_compared)


def _is_telling(value: int) -> bool:
    return FLAT_BITS <= value.bit_count() <= BITS - FLAT_BITS


def _sharing(
    band: npt.NDArray[np.uint64], values: npt.NDArray[np.uint64], people: npt.NDArray[np.int64], distance: int, comparisons: int, most: int
) -> tuple[list[tuple[int, int]], int]:
    """Rows of two people that share a band and are near, and the number of candidates left at a limit.

    Sorted by band, candidates are one step apart, then two, and so on: each step is compared at once.
    """
    order = np.argsort(band, kind="stable")
    band, values, people = band[order], values[order], people[order]
    sizes = np.unique(band, return_counts=True)[1]
    left = int((sizes * (sizes - 1) // 2).sum())
    pairs: list[tuple[int, int]] = []
    rows: npt.NDArray[Any] = np.arange(len(band))
    budget = comparisons
    for step in range(1, len(band)):
        rows = rows[rows < len(band) - step]
        rows = rows[band[rows] == band[rows + step]]
        if not len(rows) or len(rows) > budget or len(pairs) >= most:
            break
        close = np.bitwise_count(values[rows] ^ values[rows + step]) <= distance
        hits = rows[close & (people[rows] != people[rows + step])]
        pairs += zip(order[hits].tolist(), order[hits + step].tolist(), strict=True)
        budget -= len(rows)
        left -= len(rows)
    return pairs, left
