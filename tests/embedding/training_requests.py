"""A small training, for tests."""

from pathlib import Path

from face_assets.core import params
from face_assets.embedding.training import TrainingRequest
from face_assets.storage.content_store import ContentStore
from face_assets.storage.home import StoreFolder

KEYS = [str(i) for i in range(24)]


def request(place: Path, crops: ContentStore, weights: str, **settings: object) -> TrainingRequest:
    """16 photos of 4 people to learn from, 8 of 2 to watch."""
    labels = [i // 4 for i in range(24)]
    return TrainingRequest(
        weights=weights,
        embedder=params.Embedder(weights=weights, embedding_size=16, whitening="per_image"),
        train=params.Train.model_validate({"epochs": 4, "batch_size": 8, **settings}),
        crops=crops,
        image_size=80,
        features=StoreFolder(place / "features"),
        train_keys=KEYS[:16],
        train_labels=labels[:16],
        validation_keys=KEYS[16:],
        validation_labels=labels[16:],
    )
