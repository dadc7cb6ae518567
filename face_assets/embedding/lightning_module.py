"""The Lightning module that trains an embedder, with its rows and batches."""

# ruff: noqa: TID253  (defines torch Modules; training.py imports this module inside its functions)

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import lightning
import numpy as np
import torch
from pytorch_metric_learning.losses import CosFaceLoss
from pytorch_metric_learning.samplers import MPerClassSampler
from pytorch_metric_learning.utils import common_functions
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Sampler

from face_assets.core import params
from face_assets.embedding import process_group
from face_assets.embedding.learning_curve import degraded_verification, verification
from face_assets.embedding.network import Head, InputNormalization, Trunk, normalize_input, split

WARM_UP = 0.05  # share of the steps over which the rate rises, from scratch only
LAST_RATE = 0.01  # of the first, at the end of the cosine

InputKind = Literal["crops", "features", "activations", "views of crops", "activations of views"]


class Rows(Dataset[list[Tensor]]):
    """Tensors of equal length in memory, read many rows at a time."""

    def __init__(self, *columns: Tensor):
        self.columns = columns

    def __len__(self) -> int:
        return len(self.columns[0])

    def __getitems__(self, rows: list[int]) -> list[Tensor]:
        """The columns at `rows`; DataLoader prefers this to a call for each row."""
        index = torch.tensor(rows)
        return [column[index] for column in self.columns]


class EpochBatches(Sampler[list[int]]):
    """Batches of row numbers, in an order that depends on seed and epoch alone."""

    def __init__(self, labels: np.ndarray, settings: params.Train, keep_last: bool):
        self.labels, self.seed, self.epoch = labels, settings.seed, 0
        self.photos_per_person = settings.photos_per_person
        self.size = min(settings.batch_size, len(labels))
        if self.photos_per_person:
            people = len(np.unique(labels))
            self.photos_per_person = min(self.photos_per_person, self.size // 2)
            self.size = min(self.size // self.photos_per_person, people) * self.photos_per_person
        self.keep_last = keep_last and not self.photos_per_person

    def __len__(self) -> int:
        return math.ceil(len(self.labels) / self.size) if self.keep_last else len(self.labels) // self.size

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch; called by Lightning before each."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        order = self._order()
        for batch in range(len(self)):
            yield order[batch * self.size : (batch + 1) * self.size]

    def _order(self) -> list[int]:
        if not self.photos_per_person:
            order: list[int] = torch.randperm(len(self.labels), generator=_generator(self.seed, self.epoch)).tolist()
            return order
        usual = common_functions.NUMPY_RANDOM
        common_functions.NUMPY_RANDOM = np.random.RandomState((self.seed + self.epoch) % 2**32)
        try:  # a new sampler each epoch: it shuffles its people in place, so an old one has state
            return list(MPerClassSampler(self.labels, self.photos_per_person, self.size, len(self.labels)))
        finally:
            common_functions.NUMPY_RANDOM = usual


class ViewBatches(EpochBatches):
    """Batches of row numbers of ViewRows: each photo of a batch once clean and once degraded, by views that seed and epoch decide."""

    def __init__(self, labels: np.ndarray, settings: params.Train, keep_last: bool, clean: int, degraded: int):
        """clean, degraded: numbers of a photo's views of both kinds, the clean ones first."""
        halved = settings.model_copy(update={"batch_size": max(2, settings.batch_size // 2)})
        super().__init__(labels, halved, keep_last)
        self.clean, self.degraded = clean, degraded

    def __iter__(self) -> Iterator[list[int]]:
        generator = _generator(self.seed, self.epoch)
        for photos in super().__iter__():
            first = torch.tensor(photos) * (self.clean + self.degraded)
            clean = torch.randint(self.clean, first.shape, generator=generator)
            degraded = self.clean + torch.randint(self.degraded, first.shape, generator=generator)
            yield [*(first + clean).tolist(), *(first + degraded).tolist()]


def _generator(seed: int, epoch: int) -> torch.Generator:
    return torch.Generator().manual_seed((seed + epoch) % 2**63)


def batches(rows: Dataset[list[Tensor]], sampler: Any) -> "DataLoader[list[Tensor]]":
    """A loader without workers: a copy to another process costs more than a read."""
    return DataLoader(rows, batch_sampler=sampler, collate_fn=_as_they_are)


def _as_they_are(columns: Any) -> Any:
    return columns


def _channels_last(blocks: Any) -> Any:
    """The blocks with kernels in the order that is fastest on a CPU. Any, for torch's stubs lack the argument."""
    return blocks.to(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Plan:
    """Facts of a training that the module needs in addition to params.Train.

    pull: weight of the distance to the rows' targets; inputs: what the rows hold (see EmbedderModule); watched: number of validation
    photos where their degraded views follow them, else 0.
    """

    normalization: InputNormalization
    people: int
    from_scratch: bool
    steps: int
    fingerprint: str
    pull: float = 0.0
    inputs: InputKind = "crops"
    watched: int = 0


class CosFace(CosFaceLoss):  # type: ignore[misc]  # the library has no types
    """The library's loss without its masks of photos by people: equal up to rounding, twice as fast for thousands of people."""

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The mean loss of embeddings (n, d) with labels (n,)."""
        logits = (self.scale * F.normalize(embeddings)) @ F.normalize(self.W, dim=0)
        with torch.no_grad():  # a constant has no gradient, and tracking it costs a third of the time
            logits[torch.arange(len(labels), device=labels.device), labels] -= self.scale * self.margin
        return F.cross_entropy(logits, labels)


class EmbedderModule(lightning.LightningModule):  # type: ignore[misc]  # lightning is not followed by mypy
    """CosFace over unit embeddings (Wang et al. 2018, arXiv:1801.09414), regularized by the distance to target embeddings.

    Rows are (inputs, labels (n,), target embeddings (n, d) if regularized: the starting ones, or their mean with production's).
    Inputs are trunk features (n, 1792), activations of the frozen blocks (n, 1 or 2, channels, h, w) of the crop and its mirror
    image, or crops uint8 (n, s, s, 3). Of views, which are mirrored and degraded already (views.py): crops, or activations
    (n, channels, h, w) or (n, 1792).
    BatchNorm keeps the statistics of the starting weights, which come from far more photos than a batch; from scratch it learns them.
    facenet-pytorch's dropout is left out: its noise works against the regularization and delays short runs from scratch.
    The rates follow a cosine down to a hundredth, step by step.
    """

    def __init__(self, model: nn.Module, settings: params.Train, plan: Plan, centres: Tensor | None):
        super().__init__()
        self.settings, self.plan = settings, plan
        self.over_features = settings.unfreeze == "head" and "crops" not in plan.inputs
        self.over_activations = "activations" in plan.inputs
        self.head = Head(model)
        if not self.over_features:
            frozen, trained = split(Trunk(model), settings.unfreeze)
            self.frozen = _channels_last(frozen.requires_grad_(False))
            self.trained = _channels_last(trained)
        self.loss = CosFace(plan.people, self.head.last_linear.out_features, margin=settings.margin, scale=settings.scale)
        if centres is not None:
            self.loss.W.data.copy_(centres.T)
        self.strict_loading = False  # checkpoints leave the frozen blocks out
        self.curve: list[dict[str, float]] = []
        self.losses: list[Tensor] = []
        self.validated: list[tuple[Tensor, Tensor]] = []
        self.measured: dict[str, float] = {}

    def forward(self, inputs: Tensor) -> Tensor:
        """Unit embeddings (n, d) of features (n, 1792), activations (n, channels, h, w) or crops (n, s, s, 3)."""
        if self.over_features:
            return F.normalize(self.head(inputs))
        activations = inputs
        if not self.over_activations:
            with torch.no_grad():
                activations = self.frozen(normalize_input(inputs, self.plan.normalization))
        features = self.trained(activations).flatten(1)
        with self._in_f32():
            return F.normalize(self.head(features.float()))

    def _in_f32(self) -> torch.autocast:
        """Context in float32, for operations on which angles of a thousandth depend."""
        return torch.autocast(self.device.type, enabled=False)

    def on_train_epoch_start(self) -> None:
        """Seeds the epoch's random numbers, and lets BatchNorm learn from scratch only."""
        self.generator = _generator(self.settings.seed, self.current_epoch)
        self.losses = []
        self.eval()
        if self.plan.from_scratch:
            self.train()

    def training_step(self, batch: Sequence[Tensor], _: int) -> Tensor:
        """The loss of this process's shard of a batch. Every process gets the whole batch."""
        inputs, labels, *target = batch
        mine, weight = process_group.shard(len(labels))
        embeddings = self(self._views(inputs)[mine])
        with self._in_f32():
            loss: Tensor = self.loss(embeddings, labels[mine])
        if target:
            distance = 1 - (embeddings * target[0][mine]).sum(1).mean()
            loss = loss + self.plan.pull * distance * self.settings.scale / 8
        loss = loss * weight
        self.losses.append(process_group.mean(loss.detach()))
        return loss

    def _views(self, inputs: Tensor) -> Tensor:
        """The inputs, a random half of them mirrored if `flip` is set and mirror images exist."""
        if "views" in self.plan.inputs:
            return inputs
        if not self.settings.flip or self.over_features:
            return inputs[:, 0] if self.over_activations else inputs
        mirrored = torch.rand(len(inputs), generator=self.generator).to(inputs.device) < 0.5
        if self.over_activations:
            return inputs[torch.arange(len(inputs), device=inputs.device), mirrored.long()]
        return torch.where(mirrored[:, None, None, None], inputs.flip(2), inputs)

    def validation_step(self, batch: Sequence[Tensor], _: int) -> None:
        """Collects the embeddings of a batch."""
        inputs = batch[0][:, 0] if self.plan.inputs == "activations" else batch[0]
        self.validated.append((self(inputs).cpu(), batch[1].cpu()))

    def on_validation_epoch_end(self) -> None:
        """Computes the figures over all pairs of the validation photos, and over those of their degraded views."""
        embeddings, labels = (torch.cat(parts).numpy() for parts in zip(*self.validated, strict=True))
        self.validated = []
        clean = self.plan.watched or len(labels)
        self.measured = verification(embeddings[:clean], labels[:clean])
        if self.plan.watched:
            self.measured |= degraded_verification(embeddings[:clean], embeddings[clean:], labels[:clean])

    def measure(self, rows: "DataLoader[list[Tensor]]") -> dict[str, float]:
        """The validation figures of the present weights."""
        self.eval()
        with torch.no_grad():
            for batch in rows:
                self.validation_step(batch, 0)
        self.on_validation_epoch_end()
        return self.measured

    def latest(self) -> dict[str, float]:
        """The curve's row of this epoch."""
        return {"epoch": self.current_epoch + 1, "loss": float(torch.stack(self.losses).mean()), **self.measured}

    def on_train_epoch_end(self) -> None:
        """Adds the epoch to the curve; called by Lightning after the log and before the checkpoint."""
        self.curve.append(self.latest())

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW with one learning rate for the network and one for the class centres."""
        network = [value for part in (self.head, getattr(self, "trained", None)) if part is not None for value in part.parameters()]
        groups = [
            {"params": network, "lr": self.settings.learning_rate},
            {"params": list(self.loss.parameters()), "lr": self.settings.centre_learning_rate},
        ]
        optimizer = torch.optim.AdamW(groups, weight_decay=self.settings.weight_decay, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _rate(self, step: int) -> float:
        """The factor of the learning rates at a step."""
        warm_up = math.ceil(WARM_UP * self.plan.steps) if self.plan.from_scratch else 0
        if step < warm_up:
            return (step + 1) / (warm_up + 1)
        share = min(1.0, (step - warm_up) / max(1, self.plan.steps - warm_up))
        return LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * share))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the curve and the training's fingerprint, and leaves out the frozen blocks."""
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {key: value for key, value in state.items() if not key.startswith("frozen.")}
        checkpoint["face_assets"] = {"fingerprint": self.plan.fingerprint, "curve": self.curve}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores the curve."""
        self.curve = list(checkpoint["face_assets"]["curve"])
