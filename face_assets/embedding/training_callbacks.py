"""What Lightning calls back while an embedder trains: the checkpoint that a killed run goes on from, and the lines of the log."""

# ruff: noqa: TID253  (defines Lightning callbacks; training.py imports this module inside its functions)

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Checkpoint

from face_assets.embedding import process_group

MOST_OVERHEAD = 0.1  # of the time may go into checkpoints, so that short epochs are not spent on writing


class ResumeFile(Checkpoint):  # type: ignore[misc]  # lightning is not followed by mypy
    """Writes the state at the end of an epoch aside and renames it, so that `path` is always whole.

    After the first epoch, and then as often as MOST_OVERHEAD allows: what a kill costs is at most ten times what a checkpoint costs.
    """

    def __init__(self, path: Path):
        self.path = path
        self.next_time = 0.0

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        """Saves, unless that was done a moment ago."""
        started = time.monotonic()
        if not process_group.broadcast_decision(started >= self.next_time):  # every process takes part in saving
            return
        aside = self.path.with_name(f".{self.path.name}.aside")
        trainer.save_checkpoint(aside)
        if process_group.rank() == 0:
            os.replace(aside, self.path)
        ended = time.monotonic()
        self.next_time = ended + (ended - started) / MOST_OVERHEAD


def resumable(path: Path, fingerprint: str, log: Callable[[str], None]) -> bool:
    """Whether `path` is a checkpoint of the same training; one that is not is removed, and the log says so."""
    if not path.exists():
        return False
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        found = checkpoint["face_assets"]["fingerprint"]
    except (OSError, MemoryError):  # of the machine and for a moment: no verdict on the file
        raise
    except Exception as error:  # a torn file can make an unpickler raise anything; the cure is the same
        log(f"{path} cannot be read ({type(error).__name__}): training starts anew")
    else:
        if found == fingerprint:
            log(f"going on from {path}, after epoch {checkpoint['epoch'] + 1}")
            return True
        log(f"{path} is of another training: this one starts anew")
    path.unlink(missing_ok=True)  # another process of the same training may have done it
    return False


class EpochLog(lightning.Callback):  # type: ignore[misc]
    """A line for each epoch: loss, validation, photos a second; and the count of what this process trained on."""

    def __init__(self, photos_an_epoch: int, log: Callable[[str], None]):
        self.photos_an_epoch, self.say = photos_an_epoch, log  # Lightning puts a `log` of its own here
        self.photos = 0
        self.started = 0.0

    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        """Starts the clock."""
        self.started = time.monotonic()

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        """Says how the epoch went."""
        self.photos += self.photos_an_epoch
        rate = self.photos_an_epoch / max(1e-9, time.monotonic() - self.started)
        figures = "".join(f", {name.replace('_', ' ')} {value:.4f}" for name, value in module.latest().items() if name != "epoch")
        self.say(f"epoch {module.current_epoch + 1} of {trainer.max_epochs}{figures}, {rate:,.0f} photos a second")
