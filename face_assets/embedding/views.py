"""Views of crops as rows of a training: each crop as it is, mirrored, and degraded, before or after the frozen blocks."""

# ruff: noqa: TID253  (reads tensors; training.py imports this module inside its functions)

import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from face_assets.core import params
from face_assets.core.cluster import ray_cluster
from face_assets.core.fingerprint import fingerprint
from face_assets.core.progress import progress_lines
from face_assets.embedding import degradation
from face_assets.embedding.features import blocks_fingerprint, compute_rows, load_crops, load_rows
from face_assets.storage.content_store import ContentStore

if TYPE_CHECKING:
    from torch import nn

    from face_assets.embedding.network import InputNormalization

CLEAN, MIRRORED = "clean", "mirrored"
MOST_OF_DISK = 0.5  # share of the free space that activations may take; beyond it the frozen blocks run in each epoch
ROW_KIND = np.float16

Read = Callable[[Sequence[str], Sequence[str]], Tensor]
"""Rows of views from the keys of their crops and the names of the views."""


def clean_views(settings: params.Train) -> list[str]:
    """The names of a crop's views that are not degraded."""
    return [CLEAN, MIRRORED] if settings.flip else [CLEAN]


def view_of(crop: np.ndarray, key: str, name: str, flip: bool) -> np.ndarray:
    """The view `name` of the crop uint8 (s, s, 3)."""
    if name in (CLEAN, MIRRORED):
        return crop if name == CLEAN else np.ascontiguousarray(crop[:, ::-1])
    return degradation.degraded(crop, key, name, flip)


class ViewCrops:
    """Views of crops, uint8 (n, s, s, 3), made at every read."""

    def __init__(self, crops: ContentStore, flip: bool, threads: int):
        self.crops, self.flip, self.threads = crops, flip, threads

    def read(self, keys: Sequence[str], names: Sequence[str]) -> Tensor:
        """The views of crops."""
        return torch.from_numpy(self.arrays(keys, names))

    def arrays(self, keys: Sequence[str], names: Sequence[str]) -> np.ndarray:
        """The views of crops as an array."""
        with ThreadPoolExecutor(self.threads) as pool:  # Pillow does most of it without Python's lock
            return np.stack(list(pool.map(partial(view_of, flip=self.flip), load_crops(self.crops, keys), keys, names)))


class ViewActivations:
    """Activations of views before the trained part, float32 (n, channels, h, w) or (n, 1792): stored by content in half precision.

    They are read from the store batch by batch, and take no memory: an epoch reads a few of them at a time.
    """

    def __init__(
        self, model: "nn.Module", settings: params.Train, normalization: "InputNormalization", views: ViewCrops, folder: Path, size: int
    ):
        from face_assets.embedding.network import FrozenBlocks, Trunk, split

        frozen, trained = split(Trunk(model), settings.unfreeze)
        self.network = FrozenBlocks(frozen, normalization, mirrored=False).eval()
        self.views = views
        with torch.no_grad():
            one = self.network(torch.zeros((1, size, size, 3), dtype=torch.uint8))
        self.shape: tuple[int, ...] = tuple(one.shape[1:]) if len(trained) else (one.shape[1],)
        looks = fingerprint(degradation.VERSION, views.flip)
        self.store = ContentStore(folder / f"{blocks_fingerprint(frozen, normalization, size)}-views-{looks}.sqlite")

    def make(self, views: Iterable[tuple[str, str]], threads: int, log: Callable[[str], None]) -> bool:
        """Stores the activations of those `views` (key, name) that are missing. False, and none are stored, if the disk is too small."""
        missing = self.store.missing(f"{key} {name}" for key, name in views)
        size = len(missing) * int(np.prod(self.shape)) * np.dtype(ROW_KIND).itemsize
        if size > MOST_OF_DISK * shutil.disk_usage(self.store.path.parent).free:
            log(
                f"the activations of {len(missing):,} views ({size / 1e9:,.1f} GB) would fill more than half of the free space of "
                f"{self.store.path.parent}: the frozen blocks run in each epoch"
            )
            return False
        progress = progress_lines(log, "activations of", "views")
        compute_rows(self.network, self._crops, missing, self.store, threads, progress, ROW_KIND, ray_cluster(log))
        return True

    def _crops(self, names: Sequence[str]) -> np.ndarray:
        parts = [name.partition(" ") for name in names]
        return self.views.arrays([key for key, _, _ in parts], [view for _, _, view in parts])

    def read(self, keys: Sequence[str], names: Sequence[str]) -> Tensor:
        """The stored activations of views."""
        rows = load_rows(self.store, [f"{key} {name}" for key, name in zip(keys, names, strict=True)], self.shape, ROW_KIND)
        return torch.from_numpy(rows).float()


class ViewRows(Dataset[list[Tensor]]):
    """Rows (inputs, labels, …) of the views of crops; row number: that of the crop times the number of views, and that of the view."""

    def __init__(self, read: Read, keys: Sequence[str], names: Sequence[str], *columns: Tensor):
        self.read, self.keys, self.names, self.columns = read, keys, names, columns

    def __len__(self) -> int:
        return len(self.keys) * len(self.names)

    def __getitems__(self, rows: list[int]) -> list[Tensor]:
        """Inputs of the rows, and the columns of their crops; DataLoader prefers this to a call for each row."""
        photos, views = zip(*(divmod(row, len(self.names)) for row in rows), strict=True)
        index = torch.tensor(photos)
        inputs = self.read([self.keys[photo] for photo in photos], [self.names[view] for view in views])
        return [inputs, *(column[index] for column in self.columns)]
