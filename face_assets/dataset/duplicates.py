"""Photos that stand under more than one person, exactly or nearly."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, pairwise

from face_assets.dataset.manifest import Photo

BITS = 64
LARGEST_BUCKET = 200
FLAT_BITS = 4


def exact(photos: Iterable[Photo]) -> list[list[Photo]]:
    """Groups of photos with the same bytes under more than one identity."""
    groups: dict[str, list[Photo]] = defaultdict(list)
    for photo in photos:
        groups[photo.md5].append(photo)
    return [group for group in groups.values() if len({photo.identity for photo in group}) > 1]


def near(hashes: Mapping[str, int], photos: Sequence[Photo], distance: int) -> list[tuple[Photo, Photo, int]]:
    """Pairs of photos of two people whose 64-bit hashes (by md5) differ in at most `distance` bits, exact duplicates left out.

    Two such hashes agree in one of distance + 1 bands (multi-index hashing), so only photos that share a band are compared. Nearly flat
    images, whose hashes say nothing, are left out, and a band shared by more than LARGEST_BUCKET photos is passed over.
    """
    first = {photo.md5: photo for photo in reversed(photos)}
    telling = {md5: value for md5, value in hashes.items() if md5 in first and FLAT_BITS <= value.bit_count() <= BITS - FLAT_BITS}
    edges = [BITS * band // (distance + 1) for band in range(distance + 2)]
    pairs: dict[tuple[str, str], int] = {}
    for low, high in pairwise(edges):
        buckets: dict[int, list[str]] = defaultdict(list)
        for md5, value in telling.items():
            buckets[(value >> low) & ((1 << (high - low)) - 1)].append(md5)
        for bucket in buckets.values():
            if 1 < len(bucket) <= LARGEST_BUCKET:
                for one, other in combinations(sorted(bucket), 2):
                    bits = (telling[one] ^ telling[other]).bit_count()
                    if bits <= distance and first[one].identity != first[other].identity:
                        pairs[one, other] = bits
    found = [(first[one], first[other], bits) for (one, other), bits in pairs.items()]
    return sorted(found, key=lambda pair: (pair[2], pair[0].path, pair[1].path))
