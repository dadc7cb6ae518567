"""Stored crops as a camera of few pixels would have shown them, by which the scale of quality is measured."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from PIL import Image

from face_assets.storage.content_store import ContentStore, Entry

SHRUNK = " shrunk-"


def shrunk_key(key: str, side: int) -> str:
    """The key of a crop shrunk to `side` pixels; stored results of it stand under this key."""
    return f"{key}{SHRUNK}{side}"


class ShrunkCrops(ContentStore):
    """The crops of another store for keys of `shrunk_key`: shrunk by the mean of pixels and enlarged again, made at every read."""

    def __init__(self, crops: ContentStore):
        self.path, self._crops = crops.path, crops

    def entries(self, keys: Iterable[str]) -> Iterator[Entry]:
        """The shrunk crops of those keys whose crop exists."""
        sides: dict[str, list[int]] = {}
        for wanted in dict.fromkeys(keys):
            key, _, pixels = wanted.partition(SHRUNK)
            sides.setdefault(key, []).append(int(pixels))
        for entry in self._crops.entries(sides):
            if entry.blob is not None:
                for side in sides[entry.key]:
                    yield replace(entry, key=shrunk_key(entry.key, side), blob=_shrunk(entry.blob, side))


def _shrunk(crop: bytes, side: int) -> bytes:
    whole = round((len(crop) / 3) ** 0.5)
    image = Image.fromarray(np.frombuffer(crop, np.uint8).reshape(whole, whole, 3))
    return image.resize((side, side), Image.Resampling.BOX).resize((whole, whole), Image.Resampling.BICUBIC).tobytes()
