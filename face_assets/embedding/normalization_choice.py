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
from face_assets.detection.opened_detector import open_detector
from face_assets.embedding.altered_copies import separation, with_copies

if TYPE_CHECKING:
    from torch import nn

    from face_assets.embedding.network import InputNormalization

MOST_PEOPLE, PHOTOS_EACH = 30, 2
LEAST_PEOPLE, LEAST_WITH_COPIES = 10, 2
BATCH = 8


@dataclass(frozen=True)
class NormalizationChoice:
    """The better normalization, and how far each separates one person's photos from those of two.

    separation: decidability (Daugman 2004), or with `copies` the gap of the mean scores; copies: a photo and its altered copy count as two
    photos of a person, since too few people have two.
    """

    normalization: "InputNormalization"
    separation: Mapping["InputNormalization", float]
    people: int
    copies: bool


def choose_normalization(
    model: "nn.Module", root: Path, files: Sequence[Path], networks: Path, params: Params, threads: int
) -> NormalizationChoice | None:
    """The choice for `model` by photos below `root`; None where a face is found of fewer than two people.

    Where fewer than LEAST_PEOPLE have two photos with a face, one face of each and its altered copy are compared.
    """
    import torch

    from face_assets.embedding.network import InputNormalization, ServedEmbedder

    crops, people = _sample(root, files, networks, params, threads, PHOTOS_EACH)
    if copies := len(set(people)) < LEAST_PEOPLE:
        crops, people = _sample(root, files, networks, params, threads, 1)
        if len(people) < LEAST_WITH_COPIES:
            return None
        crops, people = with_copies(crops), people * 2
    numbers = np.unique(people, return_inverse=True)[1]
    found: dict[InputNormalization, float] = {}
    with torch.inference_mode():
        for normalization in get_args(InputNormalization):
            network = ServedEmbedder(model, normalization).eval()
            parts = [network(part).numpy() for part in torch.split(torch.from_numpy(crops), BATCH)]
            one = separation(np.concatenate(parts), numbers)
            found[normalization] = one.gap if copies else one.decidability
    return NormalizationChoice(max(found, key=lambda normalization: found[normalization]), found, len(set(people)), copies)


def _sample(root: Path, files: Sequence[Path], networks: Path, params: Params, threads: int, each: int) -> tuple[np.ndarray, list[str]]:
    """Crops uint8 (n, s, s, 3) and whose they are: `each` of each of up to MOST_PEOPLE, evenly chosen by name."""
    photos: defaultdict[str, list[Path]] = defaultdict(list)
    for file in files:
        photos[person_key(identity_of(file.parts[0]))].append(file)
    able = [person for person, theirs in sorted(photos.items()) if len(theirs) >= each]
    chosen = [able[int(place)] for place in np.linspace(0, len(able) - 1, min(MOST_PEOPLE, len(able)))]
    owner = {str(file): person for person in chosen for file in photos[person][:each]}
    detector = open_detector(networks, detector_config(params.detector), threads)
    entries = align_batch(detector, ((name, (root / name).read_bytes()) for name in owner), params.photos.max_megapixels)
    found: defaultdict[str, list[bytes]] = defaultdict(list)
    for entry in entries:
        if entry.blob:
            found[owner[entry.key]].append(entry.blob)
    both = {person: blobs for person, blobs in found.items() if len(blobs) == each}
    side = params.detector.image_size
    crops = np.array([np.frombuffer(blob, np.uint8).reshape(side, side, 3) for blobs in both.values() for blob in blobs])
    return crops, [person for person in both for _ in range(each)]
