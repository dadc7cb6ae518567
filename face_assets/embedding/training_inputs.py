"""Rows of the trained part of an embedder: features, activations or crops, of photos or of their views."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from face_assets.embedding.activations import StoredActivations
from face_assets.embedding.features import load_crops
from face_assets.storage.content_store import ContentStore

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.utils.data import Dataset

    from face_assets.embedding.lightning_module import InputKind
    from face_assets.embedding.training import TrainingRequest
    from face_assets.embedding.views import Read


@dataclass(frozen=True)
class StoredRows:
    """Keys that a training reads of a store."""

    store: ContentStore
    keys: Sequence[str]


@dataclass(frozen=True)
class Inputs:
    """Inputs of the trained part. training: rows of the train photos with the given columns; watched: rows of the validation photos with
    their labels, and the numbers of those rows in order; stored: of what is read now or later, where it stands."""

    kind: "InputKind"
    training: "Callable[..., Dataset[list[Tensor]]]"
    watched: "Callable[[Tensor], tuple[Dataset[list[Tensor]], list[int]]]"
    stored: list[StoredRows]


def training_inputs(
    request: "TrainingRequest", model: "nn.Module", features: np.ndarray | None, keys: list[str], threads: int, log: Callable[[str], None]
) -> Inputs:
    """Inputs of the trained part for the train crops and for the validation crops.

    For the head: trunk features (n, 1792). For a block: the activations before it (n, 1 or 2, channels, h, w), of the crop and of its
    mirror image. If nothing is frozen or memory is too small: crops uint8 (n, s, s, 3). With `degrade` those of views (views.py).
    """
    settings, count = request.train, len(request.train_keys)
    if settings.degrade:
        return _view_inputs(request, model, keys, threads, log)
    if settings.unfreeze == "head" and features is not None:
        return _in_memory("features", features[:count], features[count:], [])
    if settings.unfreeze != "all":
        views = (False, True) if settings.flip else (False,)
        stored = StoredActivations(model, settings.unfreeze, request.embedder.whitening, request.image_size, request.features.path)
        if stored.fit(count * len(views) + len(keys) - count):
            inputs = np.empty((count, len(views), *stored.shape), np.float32)
            for view, mirrored in enumerate(views):
                inputs[:, view] = stored.of(request.crops, keys[:count], mirrored, threads, log)
            watched = stored.of(request.crops, keys[count:], False, threads, log)[:, None]
            read = [StoredRows(ContentStore(stored.files[mirrored]), keys[: None if not mirrored else count]) for mirrored in views]
            return _in_memory("activations", inputs, watched, read)
        log(f"the activations before {settings.unfreeze} do not fit in memory: the frozen blocks run in each epoch")
    crops = load_crops(request.crops, keys)
    return _in_memory("crops", crops[:count], crops[count:], [StoredRows(request.crops, keys)])


def _in_memory(kind: "InputKind", training: np.ndarray, watched: np.ndarray, stored: list[StoredRows]) -> Inputs:
    import torch

    from face_assets.embedding.lightning_module import Rows

    return Inputs(
        kind,
        lambda *columns: Rows(torch.from_numpy(training), *columns),
        lambda labels: (Rows(torch.from_numpy(watched), labels), list(range(len(watched)))),
        stored,
    )


def _view_inputs(request: "TrainingRequest", model: "nn.Module", keys: list[str], threads: int, log: Callable[[str], None]) -> Inputs:
    """Views of the crops. Each validation crop is watched as it is, and by one of its degraded views in turn."""
    from face_assets.embedding.degradation import view_names
    from face_assets.embedding.views import CLEAN, ViewActivations, ViewCrops, ViewRows, clean_views

    settings, count = request.train, len(request.train_keys)
    degraded = view_names(settings.degrade)
    names, watched_names = [*clean_views(settings), *degraded], [CLEAN, *degraded]
    clean_rows = range(0, (len(keys) - count) * len(watched_names), len(watched_names))
    watched_rows = [*clean_rows, *(row + 1 + place % len(degraded) for place, row in enumerate(clean_rows))]
    views = ViewCrops(request.crops, settings.flip, threads)
    read: Read = views.read
    kind: InputKind = "views of crops"
    rows = StoredRows(request.crops, keys)
    if settings.unfreeze != "all":
        stored = ViewActivations(model, settings, request.embedder.whitening, views, request.features.path, request.image_size)
        watched = [divmod(row, len(watched_names)) for row in watched_rows]
        wanted = [*product(keys[:count], names), *((keys[count + photo], watched_names[view]) for photo, view in watched)]
        if stored.make(wanted, threads, log):
            read, kind, rows = stored.read, "activations of views", StoredRows(stored.store, [" ".join(view) for view in wanted])
    return Inputs(
        kind,
        lambda *columns: ViewRows(read, keys[:count], names, *columns),
        lambda labels: (ViewRows(read, keys[count:], watched_names, labels), watched_rows),
        [rows],
    )
