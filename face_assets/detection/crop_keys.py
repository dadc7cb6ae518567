"""Keys of the crop store: the md5 of a photo for the detector's first choice of its faces, and keys derived from it for the others."""

from collections.abc import Mapping
from typing import Any

MOST_FACES = 8
"""Faces of a photo that have a crop, at most, in the detector's order."""
FEWEST_PHOTOS = 3
"""Photos of a person from which on there is a consensus: with two, either face of either photo may be the subject's."""


def crop_key(md5: str, rank: int) -> str:
    """The key of a photo's face; rank: its place in the detector's order, from 0."""
    return md5 if rank == 0 else f"{md5}.{rank}"


def crop_keys(md5: str, faces: int) -> list[str]:
    """The keys of a photo's crops, the first choice's first; faces: number of faces that the detector found in it."""
    return [crop_key(md5, rank) for rank in range(min(faces, MOST_FACES))]


def other_keys(facts: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """The keys of the crops beside the first choice's, of each photo with several faces; facts: the crop store's, by md5."""
    return {md5: crop_keys(md5, fact["faces"])[1:] for md5, fact in facts.items() if fact["status"] == "face" and fact["faces"] > 1}
