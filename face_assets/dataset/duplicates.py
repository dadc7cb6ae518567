"""Photos filed under more than one person, exact or near duplicates."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from face_assets.core.rows import Rows
from face_assets.dataset.manifest import Photo, photo_rows

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
    rows = photos if isinstance(photos, Rows) else photo_rows((one.path, one.md5, one.identity, one.split) for one in photos)
    order = np.argsort(rows.text("md5"), kind="stable")
    md5s = rows.text("md5")[order]
    same = np.flatnonzero(md5s[:-1] == md5s[1:])  # of the few md5s that are there twice
    first = same[~np.isin(same - 1, same)]
    groups = []
    for start in first[np.argsort(order[first])].tolist():
        stop = start + 2
        while stop < len(md5s) and md5s[stop] == md5s[start]:
            stop += 1
        groups.append([rows[place] for place in order[start:stop].tolist()])
    return [group for group in groups if len({photo.identity for photo in group}) > 1]


def once(photos: Iterable[Photo]) -> list[Photo]:
    """The photos without duplicates: none of those under several people, and one of the same bytes under one person."""
    every, first = list(photos), dict[str, Photo]()
    doubtful = {photo.md5 for group in exact(every) for photo in group}
    for photo in every:
        if photo.md5 not in doubtful:
            first.setdefault(photo.md5, photo)
    return list(first.values())


def search(photos: Rows[Photo], hashes: npt.NDArray[np.uint64], distance: int) -> NearDuplicates:
    """Photos of two people whose 64-bit hashes differ in at most `distance` bits, exact duplicates left out.

    hashes: uint64 (n,), of each photo; 0 for one that has a problem in place of a hash. Two hashes agree in one of distance + 1 bands
    (multi-index hashing, Norouzi et al. 2012), so only photos that share a band are compared. Nearly flat images, whose hashes say
    nothing, are left out.
    """
    bits = np.bitwise_count(hashes)
    telling = np.flatnonzero((bits >= FLAT_BITS) & (bits <= BITS - FLAT_BITS))
    telling = telling[np.argsort(photos.text("md5")[telling], kind="stable")]
    md5s = photos.text("md5")[telling]
    places = telling[np.concatenate([np.ones(min(1, len(md5s)), bool), md5s[:-1] != md5s[1:]])]  # the first photo of each md5
    del md5s
    values = hashes[places]
    people = photos.names("identity").codes[places]
    edges = [BITS * band // (distance + 1) for band in range(distance + 2)]
    found: set[tuple[int, int]] = set()
    not_compared = 0
    for low, high in pairwise(edges):
        band = (values >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)
        pairs, left = _sharing(band, values, people, distance, MOST_COMPARISONS // (distance + 1), MOST_PAIRS - len(found))
        found.update(pairs)
        not_compared += left
    named = [(photos[places[one]], photos[places[other]], int(values[one] ^ values[other]).bit_count()) for one, other in found]
    return NearDuplicates(sorted(named, key=lambda pair: (pair[2], pair[0].path, pair[1].path)), not_compared)


def _sharing(
    band: npt.NDArray[np.uint64], values: npt.NDArray[np.uint64], people: npt.NDArray[np.int32], distance: int, comparisons: int, most: int
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
