"""The group of processes of one training, started by torchrun: rank, shard of a batch, and collectives (gloo, on GPUs NCCL)."""

# ruff: noqa: TID253  (uses tensors; imported inside functions only)

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn
from torch.distributed.nn import functional as differentiable
from torch.nn import functional as F


def world_size() -> int:
    """Number of processes that train together: torchrun's WORLD_SIZE, 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Number of this process; 0 writes files and logs."""
    return int(os.environ.get("RANK", "0"))


def backend(accelerator: str) -> str:
    """torch.distributed's backend: NCCL for tensors of GPUs, each process's own; gloo for the rest, as decisions on the CPU."""
    return "cpu:gloo,cuda:nccl" if accelerator == "cuda" else "gloo"


def join(accelerator: str = "cpu") -> None:
    """Initializes the group, which Lightning then uses."""
    if world_size() > 1 and not torch.distributed.is_initialized():
        if accelerator == "cuda":
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        torch.distributed.init_process_group(backend(accelerator))


@contextmanager
def rank_zero_first() -> Iterator[None]:
    """Context that the first process runs alone; the others wait, then find its stored results."""
    if world_size() > 1 and rank() > 0:
        torch.distributed.barrier()
    yield
    if world_size() > 1 and rank() == 0:
        torch.distributed.barrier()


def shard(count: int) -> tuple[slice, float]:
    """This process's rows of a batch of `count`, and the weight of their mean loss.

    DDP averages gradients over processes; with these weights the average is that of the whole batch. If a batch has fewer rows than
    processes, some processes get a row of weight 0.
    """
    start, end = count * rank() // world_size(), count * (rank() + 1) // world_size()
    if start == end:
        return slice(0, 1), 0.0
    return slice(start, end), (end - start) * world_size() / count


def mean(value: Tensor) -> Tensor:
    """Mean of a value over the processes."""
    if world_size() == 1:
        return value
    total = value.clone()
    torch.distributed.all_reduce(total)
    return total / world_size()


def broadcast_decision(decision: bool) -> bool:
    """The first process's decision, in all processes."""
    if world_size() == 1:
        return decision
    word = torch.tensor(int(decision))
    torch.distributed.broadcast(word, 0)
    return bool(word)


def synchronize_batch_norm(module: nn.Module, accelerator: str = "cpu") -> None:
    """Makes every BatchNorm in `module` use the statistics of the whole batch: on GPUs by torch's SyncBatchNorm, which no CPU has."""
    if world_size() > 1 and accelerator == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]  # in place: `module` is no BatchNorm itself
        return
    for part in module.modules() if world_size() > 1 else ():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.forward = partial(_normalize, part)  # type: ignore[method-assign]


def _normalize(norm: Any, values: Tensor) -> Tensor:
    """Batch normalisation (Ioffe and Szegedy 2015, arXiv:1502.03167) of (n, c, …) with the statistics of all processes' rows."""
    if not norm.training:
        return F.batch_norm(values, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps)
    over = [dimension for dimension in range(values.ndim) if dimension != 1]
    wide = values.double()  # in double: the mean of squares minus the square of the mean
    count = torch.full((1,), values.numel() / values.shape[1], dtype=torch.double)
    sums: Tensor = differentiable.all_reduce(torch.cat([wide.sum(over), wide.square().sum(over), count]))  # type: ignore[no-untyped-call]
    channels = values.shape[1]
    average = sums[:channels] / sums[-1]
    variance = (sums[channels:-1] / sums[-1] - average.square()).clamp(min=0)
    with torch.no_grad():
        unbiased = variance * sums[-1] / (sums[-1] - 1)
        norm.running_mean.lerp_(average.to(norm.running_mean), norm.momentum)
        norm.running_var.lerp_(unbiased.to(norm.running_var), norm.momentum)
        norm.num_batches_tracked += 1
    shape = [1, channels] + [1] * (values.ndim - 2)
    scale = (norm.weight / torch.sqrt(variance + norm.eps)).to(values.dtype)
    shift = (norm.bias - average * scale).to(values.dtype)
    normal: Tensor = values * scale.view(shape) + shift.view(shape)
    return normal
