"""Activations of the frozen blocks, stored by content: each is computed once for a crop and not once an epoch."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from face_assets.core.cluster import ray_cluster
from face_assets.core.progress import progress_lines
from face_assets.embedding.features import blocks_fingerprint, compute_rows, load_crops, load_rows
from face_assets.storage.content_store import ContentStore

if TYPE_CHECKING:
    from torch import nn

    from face_assets.embedding.network import InputNormalization

MOST_BYTES = 4 << 30  # of memory; beyond it the frozen blocks run in each epoch, over crops


class StoredActivations:
    """Stored activations of square crops before the block `unfreeze`, for weights that do not change."""

    def __init__(self, model: "nn.Module", unfreeze: str, normalization: "InputNormalization", image_size: int, folder: Path):
        import torch

        from face_assets.embedding.network import FrozenBlocks, Trunk, normalize_input, split

        self.frozen, _ = split(Trunk(model), unfreeze)
        self.networks = {mirrored: FrozenBlocks(self.frozen, normalization, mirrored).eval() for mirrored in (False, True)}
        with torch.no_grad():
            one = self.frozen.eval()(normalize_input(torch.zeros((1, image_size, image_size, 3), dtype=torch.uint8), normalization))
        self.shape: tuple[int, ...] = tuple(one.shape[1:])
        name = blocks_fingerprint(self.frozen, normalization, image_size)
        self.files = {False: folder / f"{name}.sqlite", True: folder / f"{name}-mirrored.sqlite"}

    def fit(self, count: int) -> bool:
        """True if the activations of `count` crops fit MOST_BYTES."""
        return count * int(np.prod(self.shape)) * 4 <= MOST_BYTES

    def of(self, crops: ContentStore, keys: Sequence[str], mirrored: bool, threads: int, log: Callable[[str], None]) -> np.ndarray:
        """Activations float32 (n, channels, h, w) of crops or their mirror images, in the order of `keys`; computes missing ones."""
        store = ContentStore(self.files[mirrored])
        what = "activations of" + " mirror images of" * mirrored
        compute_rows(
            self.networks[mirrored],
            partial(load_crops, crops),
            keys,
            store,
            threads,
            progress_lines(log, what, "crops"),
            cluster=ray_cluster(log),
        )
        return load_rows(store, keys, self.shape)
