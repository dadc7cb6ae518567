"""Images a second of training the whole network, against a plain PyTorch loop over the same images."""

import io
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.table import Row
from face_assets.core import params
from face_assets.dataset.photo_survey import survey
from face_assets.embedding.training import TrainingRequest, train
from face_assets.storage.content_store import ContentStore, Entry
from face_assets.storage.home import StoreFolder

IMAGES, BATCH, SIDE, THREADS = 256, 32, 160, 2
ROUNDS = 2


def run(photos: Path) -> list[Row]:
    """photos: a folder with one folder a person; whole photos at the crop's side do as well as crops for the time."""
    files = [photos / name for name in survey(photos).files[:IMAGES]]
    people = {name: number for number, name in enumerate(dict.fromkeys(path.parent.name for path in files))}
    labels = [people[path.parent.name] for path in files]
    encoded = [_jpeg(path) for path in files]
    times = [(_ours(encoded, labels), _plain(encoded, labels)) for _ in range(ROUNDS)]
    ours, plain = (min(column) for column in zip(*times, strict=True))
    note = "`train.unfreeze: all`, `precision: bf16`, batches of 32, in both every image once"
    return [Row("train the whole network against a plain PyTorch loop", len(files) / ours, len(files) / plain, "images/s", 1.3, note)]


def _jpeg(path: Path) -> bytes:
    content = io.BytesIO()
    with Image.open(path) as image:
        image.convert("RGB").resize((SIDE, SIDE)).save(content, "JPEG", quality=95)
    return content.getvalue()


def _decoded(encoded: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(encoded)) as image:
        return np.asarray(image)


def _ours(encoded: list[bytes], labels: list[int]) -> float:
    """Seconds of an epoch, with the crops' decoding, which the platform does once and the plain loop in each epoch."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        started = time.perf_counter()
        crops = ContentStore(place / "crops.sqlite")
        crops.put(Entry(str(i), {}, _decoded(one).tobytes()) for i, one in enumerate(encoded))
        preparing = time.perf_counter() - started
        request = TrainingRequest(
            weights="scratch",
            embedder=params.Embedder(weights="scratch"),
            train=params.Train(unfreeze="all", epochs=1, batch_size=BATCH, precision="bf16"),
            crops=crops,
            image_size=SIDE,
            features=StoreFolder(place / "features"),
            train_keys=[str(i) for i in range(len(encoded))],
            train_labels=labels,
            validation_keys=[],
            validation_labels=[],
        )
        return preparing + train(request, place / "work", place / "out", THREADS, lambda line: None).seconds


def _plain(encoded: list[bytes], labels: list[int]) -> float:
    """Seconds of an epoch of what one writes down first: decode, stack, forward, loss, backward, step."""
    import torch
    from pytorch_metric_learning.losses import CosFaceLoss
    from torch.nn import functional as F

    from face_assets.embedding.weights import load_embedder

    torch.set_num_threads(THREADS)
    model = load_embedder("scratch", 512, 0).train()
    loss = CosFaceLoss(max(labels) + 1, 512, margin=0.2, scale=32.0)
    optimizer = torch.optim.AdamW([*model.parameters(), *loss.parameters()])

    def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        order = torch.randperm(len(encoded)).tolist()
        for start in range(0, len(order) - BATCH + 1, BATCH):
            rows = order[start : start + BATCH]
            images = torch.stack([torch.from_numpy(_decoded(encoded[row]).transpose(2, 0, 1).astype(np.float32)) for row in rows])
            yield (images - 127.5) / 128, torch.tensor([labels[row] for row in rows])

    started = time.perf_counter()
    for images, truth in batches():
        optimizer.zero_grad()
        loss(F.normalize(model(images)), truth).backward()
        optimizer.step()
    return time.perf_counter() - started
