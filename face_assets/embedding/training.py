"""Training of the embedder: over stored trunk features, or from a named block of the trunk on."""

import logging
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from face_assets.core import params
from face_assets.core.errors import UserError
from face_assets.core.fingerprint import fingerprint
from face_assets.embedding.features import feature_store, head_embeddings, load_features
from face_assets.embedding.learning_curve import evenly, verification, write_curve
from face_assets.embedding.training_inputs import StoredRows, training_inputs
from face_assets.embedding.weights import load_embedder, save_embedder, weights_fingerprint
from face_assets.storage.content_store import ContentStore
from face_assets.storage.home import StoreFolder

if TYPE_CHECKING:
    from torch import Tensor, nn

    from face_assets.embedding.lightning_module import EmbedderModule

CHECKPOINT = "last.ckpt"
VALIDATION_BATCH = 64

Log = Callable[[str], None]


@dataclass(frozen=True)
class TrainingRequest:
    """Inputs of a training. Labels are numbers of people; `features` is the folder of stored trunk features; `compatible`: the state_dict
    of the embedder towards whose embeddings it pulls, None where it trains freely; `accelerator`: Lightning's, and `gpu` the number of the
    GPU of one process."""

    weights: str
    embedder: params.Embedder
    train: params.Train
    crops: ContentStore
    image_size: int
    features: StoreFolder
    train_keys: list[str]
    train_labels: list[int]
    validation_keys: list[str]
    validation_labels: list[int]
    compatible: Path | None = None
    accelerator: Literal["cpu", "cuda", "mps"] = "cpu"
    gpu: int = 0

    def fingerprint(self) -> str:
        """Digest of all inputs that determine the result. A checkpoint with another fingerprint is not resumed."""
        settings = [self.embedder.whitening, self.embedder.embedding_size, self.train.fingerprint(), self.image_size]
        photos = [self.train_keys, self.train_labels, self.validation_keys, self.validation_labels]
        pulled = [weights_fingerprint(self.compatible), self.train.compatibility] if self.compatible else []
        return fingerprint(weights_fingerprint(self.weights), settings, photos, *pulled)


@dataclass(frozen=True)
class TrainingResult:
    """Result of a training. The curve has a row for each epoch; seconds and rate are of this process since its start or resumption."""

    embedding_size: int
    epochs: int
    seconds: float
    samples_a_second: float
    curve: list[dict[str, float]]


class Paused(Exception):
    """A training stopped at a checkpoint before its end, after so many `seconds` and `photos`."""

    def __init__(self, seconds: float, photos: int):
        super().__init__(seconds, photos)
        self.seconds, self.photos = seconds, photos


def train(request: TrainingRequest, work: Path, output: Path, threads: int, log: Log, pause_after: float = math.inf) -> TrainingResult:
    """Writes output/embedder.pt (float32 state_dict), output/learning_curve.csv and output/metrics.

    In a process group (process_group.py) each process trains on its shard, and the first writes.
    A killed run resumes from work/last.ckpt, with the same bytes in the end on the same machine with the same `threads`.
    Raises UserError for fewer than two people, unusable weights, or a frozen trunk from scratch; and Paused at the first checkpoint after
    `pause_after` seconds of training. Of a process group all processes run to the end.
    """
    import torch

    from face_assets.embedding import process_group

    people = len(set(request.train_labels))
    if people < 2 and request.train.epochs:
        found = "nobody" if people == 0 else f"photos of one person only ({len(request.train_keys)})"
        raise UserError(
            f"the train split holds {found}: training needs two people at least. Add people to the photos, or set train.epochs: 0"
        )
    if request.weights == params.SCRATCH and request.train.unfreeze != "all" and request.train.epochs:
        raise UserError(
            f"train.unfreeze is {request.train.unfreeze}, but embedder.weights: scratch leaves the frozen part random: "
            "set train.unfreeze: all, or name starting weights"
        )
    model = load_embedder(request.weights, request.embedder.embedding_size, request.train.seed)
    usual_threads = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(request.train.seed)
            result = _train(request, model, work, threads, log, pause_after)
    finally:
        torch.set_num_threads(usual_threads)
    if process_group.rank() > 0:
        return result
    save_embedder(model, output)
    if result.curve:
        write_curve(result.curve, output)
    return result


def keys_read(request: TrainingRequest) -> list[str]:
    """The keys of the crops that the training reads: all train crops, and the validation crops that it watches."""
    return [*request.train_keys, *(request.validation_keys[i] for i in evenly(len(request.validation_keys)))]


def store_inputs(request: TrainingRequest, threads: int, log: Log) -> list[StoredRows]:
    """Computes and stores what the training reads, and returns where it stands."""
    keys, stored = keys_read(request), []
    model = load_embedder(request.weights, request.embedder.embedding_size, request.train.seed)
    compatible = [load_embedder(request.compatible, 0, 0)] if request.compatible else []
    for embedder in [*([] if request.weights == params.SCRATCH else [model]), *compatible]:
        normalization, side = request.embedder.whitening, request.image_size
        store = feature_store(embedder, normalization, side, request.crops, keys, request.features, threads, log)
        stored.append(StoredRows(store, keys))
    if request.train.epochs and (request.train.unfreeze != "head" or request.train.degrade or not stored):
        stored += training_inputs(request, model, None, keys, threads, log).stored
    return stored


def _train(request: TrainingRequest, model: "nn.Module", work: Path, threads: int, log: Log, pause_after: float) -> TrainingResult:
    """Trains `model` in place."""
    import torch

    from face_assets.embedding import process_group

    settings, from_scratch = request.train, request.weights == params.SCRATCH
    normalization, embedding_size = request.embedder.whitening, model.get_parameter("last_linear.weight").shape[0]
    people, labels = np.unique(np.array(request.train_labels, np.int64), return_inverse=True)
    watched, keys = evenly(len(request.validation_keys)), keys_read(request)
    validation_labels = np.array([request.validation_labels[i] for i in watched], np.int64)

    features, start, pull, curve = None, None, 0.0, []
    if not from_scratch:
        features = _features(request, model, keys, threads, log)
        start = head_embeddings(model, features)
        if measured := verification(start[len(labels) :], validation_labels):
            curve.append({"epoch": 0, **measured})
    if not settings.epochs:
        return TrainingResult(embedding_size, 0, 0.0, 0.0, curve)
    from face_assets.embedding.lightning_module import EmbedderModule, EpochBatches, Plan, ViewBatches, batches  # seconds of imports
    from face_assets.embedding.views import clean_views

    with process_group.rank_zero_first():
        inputs = training_inputs(request, model, features, keys, threads, log)
    columns = [torch.from_numpy(labels)]
    centres = None
    if start is not None:
        starting = torch.from_numpy(start[: len(labels)])
        centres = torch.zeros(len(people), embedding_size).index_add_(0, columns[0], starting)
        target, pull = _target(request, starting, keys[: len(labels)], threads, log)
        columns += [target] if pull else []
    if settings.degrade:
        sampler: EpochBatches = ViewBatches(labels, settings, not from_scratch, len(clean_views(settings)), sum(settings.degrade.values()))
    else:
        sampler = EpochBatches(labels, settings, keep_last=not from_scratch)
    if from_scratch and sampler.size < process_group.world_size():
        raise UserError(
            f"a batch has {sampler.size} photos for {process_group.world_size()} processes: "
            "set train.batch_size higher, or FACE_ASSETS_TRAIN_PROCESSES lower"
        )
    watches = len(validation_labels) > len(set(validation_labels.tolist())) > 1
    steps = len(sampler) * settings.epochs
    plan = Plan(
        normalization, len(people), from_scratch, steps, request.fingerprint(), pull, inputs.kind, len(watched) if settings.degrade else 0
    )
    process_group.synchronize_batch_norm(model, request.accelerator)
    module = EmbedderModule(model, settings, plan, centres)
    module.curve = curve
    validation = None
    if watches:
        rows, numbers = inputs.watched(torch.from_numpy(validation_labels))
        size = len(numbers) if module.over_features else VALIDATION_BATCH
        validation = batches(rows, [numbers[i : i + size] for i in range(0, len(numbers), size)])
        if settings.degrade and curve:
            curve[0] |= module.measure(validation)
    many = f"{len(labels):,} photos of {len(people):,} people"
    log(f"training {settings.unfreeze} on {many}, {len(sampler)} batches of {sampler.size} an epoch")
    photos, seconds = _fit(module, batches(inputs.training(*columns), sampler), validation, request, work, log, pause_after)
    return TrainingResult(embedding_size, settings.epochs, seconds, photos / seconds if seconds else 0.0, module.curve)


def _target(request: TrainingRequest, starting: "Tensor", keys: list[str], threads: int, log: Log) -> tuple["Tensor", float]:
    """The embeddings towards which the training pulls, (n, d), and the weight of their distance in the loss.

    The distance to starting and to production's embeddings is one to their mean by weights, since both are linear in the embedding.
    """
    import torch

    regularization = request.train.embedding_regularization
    if request.compatible is None:
        return starting, regularization
    model = load_embedder(request.compatible, starting.shape[1], 0)
    features = _features(request, model, keys, threads, log)
    log("pulling towards the embeddings of the release in production")
    theirs, weight = torch.from_numpy(head_embeddings(model, features)), request.train.compatibility
    return (regularization * starting + weight * theirs) / (regularization + weight), regularization + weight


def _features(request: TrainingRequest, model: "nn.Module", keys: list[str], threads: int, log: Log) -> np.ndarray:
    """Trunk features float32 (n, 1792) of crops; of several processes the first computes those that are not stored."""
    from face_assets.embedding import process_group

    with process_group.rank_zero_first():
        store = feature_store(model, request.embedder.whitening, request.image_size, request.crops, keys, request.features, threads, log)
        return load_features(store, keys)


def _fit(
    module: "EmbedderModule", training: Any, validation: Any, request: TrainingRequest, work: Path, log: Log, pause_after: float
) -> tuple[int, float]:
    """Runs Lightning's loop. Returns photos and seconds of this process. Raises Paused, and UserError where a GPU has too little memory."""
    import lightning
    import torch

    from face_assets.embedding import process_group
    from face_assets.embedding.training_callbacks import EpochLog, ResumeFile, resumable

    work.mkdir(parents=True, exist_ok=True)
    checkpoint = work / CHECKPOINT
    resume = str(checkpoint) if resumable(checkpoint, module.plan.fingerprint, log) else None
    sampler = training.batch_sampler
    lines = EpochLog(min(len(sampler) * sampler.size, len(sampler.labels)), log)
    started = time.monotonic()
    with _quiet():
        trainer = lightning.Trainer(
            **_processors(request.accelerator, request.gpu, process_group.world_size()),
            precision="bf16-mixed" if module.settings.precision == "bf16" and not module.over_features else "32-true",
            max_epochs=module.settings.epochs,
            callbacks=[lines, ResumeFile(checkpoint, pause_after)],
            default_root_dir=work,
            logger=False,
            enable_model_summary=False,
            enable_progress_bar=sys.stderr.isatty(),
            num_sanity_val_steps=0,
            limit_val_batches=0 if validation is None else 1.0,
            use_distributed_sampler=False,
        )
        try:
            trainer.fit(module, training, validation, ckpt_path=resume, weights_only=True)
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"the GPU has too little memory to train {request.train.unfreeze} with batches of {sampler.size} photos, which "
                "decide the result: set train.batch_size lower, or FACE_ASSETS_DEVICE=cpu"
            ) from error
    seconds = time.monotonic() - started
    if trainer.current_epoch < module.settings.epochs:
        raise Paused(seconds, lines.photos)
    return lines.photos, seconds


def _processors(accelerator: str, gpu: int, processes: int) -> dict[str, Any]:
    """Lightning's arguments for one process, or for those that torchrun started, on one machine or several: gloo or NCCL connects them."""
    if processes == 1:
        return {"accelerator": accelerator, "devices": [gpu] if accelerator == "cuda" else 1}
    from lightning.pytorch.strategies import DDPStrategy

    from face_assets.embedding import process_group

    here = int(os.environ.get("LOCAL_WORLD_SIZE", processes))
    strategy = DDPStrategy(process_group_backend=process_group.backend(accelerator))
    return {"accelerator": accelerator, "devices": here, "num_nodes": processes // here, "strategy": strategy}


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppresses Lightning's start messages and its advice on workers, which rows in memory do not need."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            warnings.filterwarnings("ignore", module="torch.optim.lr_scheduler")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
