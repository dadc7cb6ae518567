"""Starting weights that are served as they are, measured on photos of the people whom they are to recognize."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from face_assets.core.errors import RefusedError
from face_assets.core.files import link_or_copy, read_json
from face_assets.core.params import Embedder
from face_assets.detection.steps import Face
from face_assets.embedding.altered_copies import Separation, separation, with_copies
from face_assets.embedding.engine import Engine
from face_assets.embedding.engine_files import NETWORK, engine_files
from face_assets.embedding.features import load_crops
from face_assets.embedding.weights import load_embedder, save_embedder
from face_assets.storage.content_store import ContentStore

if TYPE_CHECKING:
    from torch import nn

Embed = Callable[[np.ndarray], np.ndarray]
"""Crops uint8 (n, s, s, 3), RGB, to unit embeddings float32 (n, d)."""
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
    found = separation_of(_torch_embedder(model, embedder), faces, crops)
    return {"embedding_size": model.get_parameter("last_linear.weight").shape[0], "measured": asdict(found)}


def keep_onnx(engine: Path, faces: Sequence[Face], crops: ContentStore, output: Path) -> dict[str, Any]:
    """Writes the files of the engine of a network in ONNX into the folder `output`, and returns facts as `keep_weights` does."""
    for name in engine_files(engine):
        link_or_copy(engine / name, output / name)
    found = separation_of(Engine(engine / NETWORK[0], "f32", 1).embed, faces, crops)
    return {"embedding_size": read_json(engine / "engine.json")["embedding_size"], "measured": asdict(found)}


def separation_of(embed: Embed, faces: Sequence[Face], crops: ContentStore) -> Separation:
    """The separation, by an embedder, of one face each of up to MOST_PEOPLE people, and altered copies of these faces."""
    first = {face.identity: face.crop_key for face in reversed(faces)}
    keys = [first[name] for name in sorted(first)]
    chosen = [keys[int(place)] for place in np.linspace(0, len(keys) - 1, min(MOST_PEOPLE, len(keys)))]
    return separation(embed(with_copies(load_crops(crops, chosen))), np.tile(np.arange(len(chosen)), 2))


def _torch_embedder(model: "nn.Module", embedder: Embedder) -> Embed:
    import torch

    from face_assets.embedding.network import ServedEmbedder

    network = ServedEmbedder(model, embedder.whitening).eval()

    def embed(crops: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return np.concatenate([network(part).numpy() for part in torch.split(torch.from_numpy(crops), BATCH)])

    return embed


def require_good(found: Separation, embedder: Embedder, floor: float, cure: str) -> None:
    """Raises RefusedError where the weights do not tell the people of the sample apart. floor: of AUC, evaluation.min_auc; 0 for none."""
    if not floor or (found.auc >= floor and found.gap >= LEAST_GAP):
        return
    if embedder.is_onnx:
        way = "embedder.channels, mean and std, and detector.align"
    else:
        way = f"embedder.whitening: {_other_normalization(embedder)}"
    raise RefusedError(
        f"embedder.weights: {embedder.weights} tell nobody apart: on faces of {found.people} people and altered copies of these faces "
        f"AUC is {found.auc:.3f} (evaluation.min_auc {floor:g}), and mated scores are {found.gap:.3f} above non-mated ones ({LEAST_GAP} "
        f"needed). Try {way}, name other weights, or {cure}."
    )


def _other_normalization(embedder: Embedder) -> str:
    return next(str(name) for name in get_args(type(embedder).model_fields["whitening"].annotation) if name != embedder.whitening)
