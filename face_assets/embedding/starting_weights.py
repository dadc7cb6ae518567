"""Starting weights that are served as they are, measured on photos of the people whom they are to recognize."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import numpy as np

from face_assets.core.errors import RefusedError
from face_assets.core.params import Embedder
from face_assets.detection.steps import Face
from face_assets.embedding.altered_copies import Separation, separation, with_copies
from face_assets.embedding.features import load_crops
from face_assets.embedding.weights import load_embedder, save_embedder
from face_assets.storage.content_store import ContentStore

MOST_PEOPLE = 16
BATCH = 8
LEAST_GAP = 0.2
"""Of the mean scores. The MS-Celeb weights have 0.8 on photos of LFW, 0.4 to 0.7 under the wrong normalization, random weights 0.001."""


def keep_weights(weights: str, embedder: Embedder, seed: int, faces: Sequence[Face], crops: ContentStore, output: Path) -> dict[str, Any]:
    """Writes output/embedder.pt and returns facts for the summary: the size of the embedding, and the weights' Separation on these faces.

    weights: as of resolve_weights. Each face counts with an altered copy, so that people with one photo each suffice.
    """
    model = load_embedder(weights, embedder.embedding_size, seed)
    save_embedder(model, output)
    found = measure_weights(weights, embedder, seed, faces, crops)
    return {"embedding_size": model.get_parameter("last_linear.weight").shape[0], "measured": asdict(found)}


def measure_weights(weights: str, embedder: Embedder, seed: int, faces: Sequence[Face], crops: ContentStore) -> Separation:
    """The separation of one face each of up to MOST_PEOPLE people, and altered copies of these faces."""
    import torch

    from face_assets.embedding.network import ServedEmbedder

    first = {face.identity: face.crop_key for face in reversed(faces)}
    keys = [first[name] for name in sorted(first)]
    chosen = [keys[int(place)] for place in np.linspace(0, len(keys) - 1, min(MOST_PEOPLE, len(keys)))]
    pictures = torch.from_numpy(with_copies(load_crops(crops, chosen)))
    network = ServedEmbedder(load_embedder(weights, embedder.embedding_size, seed), embedder.whitening).eval()
    with torch.inference_mode():
        embeddings = np.concatenate([network(part).numpy() for part in torch.split(pictures, BATCH)])
    return separation(embeddings, np.tile(np.arange(len(chosen)), 2))


def require_good(found: Separation, embedder: Embedder, floor: float, cure: str) -> None:
    """Raises RefusedError where the weights do not tell the people of the sample apart. floor: of AUC, evaluation.min_auc; 0 for none."""
    if not floor or (found.auc >= floor and found.gap >= LEAST_GAP):
        return
    other = next(name for name in get_args(type(embedder).model_fields["whitening"].annotation) if name != embedder.whitening)
    raise RefusedError(
        f"embedder.weights: {embedder.weights} tell nobody apart: on faces of {found.people} people and altered copies of these faces "
        f"AUC is {found.auc:.3f} (evaluation.min_auc {floor:g}), and mated scores are {found.gap:.3f} above non-mated ones ({LEAST_GAP} "
        f"needed). Try embedder.whitening: {other}, name other weights, or {cure}."
    )
