"""The input normalization that given weights want, measured on a sample of the photos: under the wrong one they tell few people apart."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np

from face_assets.core.params import Params
from face_assets.dataset.photo_folders import identity_of, person_key
from face_assets.detection.alignment import align_batch
from face_assets.detection.detectors import detector_config
from face_assets.detection.mtcnn import Detector

if TYPE_CHECKING:
    from torch import nn

    from face_assets.embedding.network import InputNormalization

MOST_PEOPLE, PHOTOS_EACH = 30, 2
LEAST_PEOPLE = 10
BATCH = 8


@dataclass(frozen=True)
class NormalizationChoice:
    """The better normalization, and how far each separates one person's photos from those of two: decidability (Daugman 2004)."""

    normalization: "InputNormalization"
    decidability: Mapping["InputNormalization", float]
    people: int


def choose_normalization(
    model: "nn.Module", root: Path, files: Sequence[Path], networks: Path, params: Params, threads: int
) -> NormalizationChoice | None:
    """The choice for `model` by photos below `root`; None where fewer than LEAST_PEOPLE have two photos with a face."""
    import torch

    from face_assets.embedding.network import InputNormalization, ServedEmbedder

    crops, people = _sample(root, files, networks, params, threads)
    if len(set(people)) < LEAST_PEOPLE:
        return None
    found: dict[InputNormalization, float] = {}
    with torch.inference_mode():
        for normalization in get_args(InputNormalization):
            network = ServedEmbedder(model, normalization).eval()
            parts = [network(part).numpy() for part in torch.split(torch.from_numpy(crops), BATCH)]
            found[normalization] = decidability(np.concatenate(parts), np.array(people))
    return NormalizationChoice(max(found, key=lambda normalization: found[normalization]), found, len(set(people)))


def decidability(embeddings: np.ndarray, people: np.ndarray) -> float:
    """The distance between the mean scores of mated and of non-mated pairs, in standard deviations. embeddings: (n, d) of unit length."""
    first, second = np.triu_indices(len(people), 1)
    scores = (embeddings[first] * embeddings[second]).sum(axis=1)
    mated, others = scores[people[first] == people[second]], scores[people[first] != people[second]]
    return float((mated.mean() - others.mean()) / np.sqrt((mated.var() + others.var()) / 2 + 1e-12))


def _sample(root: Path, files: Sequence[Path], networks: Path, params: Params, threads: int) -> tuple[np.ndarray, list[str]]:
    """Crops uint8 (n, s, s, 3) and whose they are: PHOTOS_EACH of each of up to MOST_PEOPLE, evenly chosen by name."""
    photos: defaultdict[str, list[Path]] = defaultdict(list)
    for file in files:
        photos[person_key(identity_of(file.parts[0]))].append(file)
    able = [person for person, theirs in sorted(photos.items()) if len(theirs) >= PHOTOS_EACH]
    chosen = [able[int(place)] for place in np.linspace(0, len(able) - 1, min(MOST_PEOPLE, len(able)))]
    owner = {str(file): person for person in chosen for file in photos[person][:PHOTOS_EACH]}
    detector = Detector(networks, detector_config(params.detector), threads)
    entries = align_batch(detector, ((name, (root / name).read_bytes()) for name in owner), params.photos.max_megapixels)
    found: defaultdict[str, list[bytes]] = defaultdict(list)
    for entry in entries:
        if entry.blob:
            found[owner[entry.key]].append(entry.blob)
    both = {person: blobs for person, blobs in found.items() if len(blobs) == PHOTOS_EACH}
    side = params.detector.image_size
    crops = np.array([np.frombuffer(blob, np.uint8).reshape(side, side, 3) for blobs in both.values() for blob in blobs])
    return crops, [person for person in both for _ in range(PHOTOS_EACH)]
