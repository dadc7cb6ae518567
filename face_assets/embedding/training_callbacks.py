"""Lightning callbacks of the training: the checkpoint from which a killed run resumes, and log lines."""

# ruff: noqa: TID253  (defines Lightning callbacks; training.py imports this module inside its functions)

import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Checkpoint

from face_assets.embedding import process_group

MOST_OVERHEAD = 0.1  # largest share of the time spent on checkpoints, for short epochs


class ResumeFile(Checkpoint):  # type: ignore[misc]  # lightning is not followed by mypy
    """Checkpoint callback that writes to a temporary file and renames it, so that `path` is always whole.

    It saves after the first epoch, then as often as MOST_OVERHEAD allows: a kill loses at most ten times the time of a checkpoint.
    pause_after: seconds after which the training stops at its next checkpoint; it is then unfinished.
    """

    def __init__(self, path: Path, pause_after: float = math.inf):
        self.path = path
        self.next_time = 0.0
        self.pause_time = time.monotonic() + pause_after

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        """Saves if MOST_OVERHEAD allows, and stops where it is time to pause."""
        started = time.monotonic()
        if not process_group.broadcast_decision(started >= self.next_time):  # every process takes part in saving
            return
        aside = self.path.with_name(f".{self.path.name}.aside")
        trainer.save_checkpoint(aside)
        if process_group.rank() == 0:
            os.replace(aside, self.path)
        ended = time.monotonic()
        trainer.should_stop = trainer.should_stop or ended >= self.pause_time
        self.next_time = ended + (ended - started) / MOST_OVERHEAD


def resumable(path: Path, fingerprint: str, log: Callable[[str], None]) -> bool:
    """True if `path` is a checkpoint of the same training. Another one is removed and logged."""
    if not path.exists():
        return False
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        found = checkpoint["face_assets"]["fingerprint"]
    except (OSError, MemoryError):  # a passing trouble of the machine, which says nothing about the file
        raise
    except Exception as error:  # an unpickler may raise anything on a truncated file
        log(f"{path} cannot be read ({type(error).__name__}): training starts anew")
    else:
        if found == fingerprint:
            log(f"going on from {path}, after epoch {checkpoint['epoch'] + 1}")
            return True
        log(f"{path} is of another training: this one starts anew")
    path.unlink(missing_ok=True)  # another process of the same training may have removed it
    return False


class EpochLog(lightning.Callback):  # type: ignore[misc]
    """Log line for each epoch (loss, validation, photos a second), and count of the photos trained on in this process."""

    def __init__(self, photos_an_epoch: int, log: Callable[[str], None]):
        self.photos_an_epoch, self.say = photos_an_epoch, log  # Lightning puts a `log` of its own here
        self.photos = 0
        self.started = 0.0

    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        """Starts the clock."""
        self.started = time.monotonic()

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        """Logs the figures of the epoch."""
        self.photos += self.photos_an_epoch
        rate = self.photos_an_epoch / max(1e-9, time.monotonic() - self.started)
        figures = "".join(f", {name.replace('_', ' ')} {value:.4f}" for name, value in module.latest().items() if name != "epoch")
        self.say(f"epoch {module.current_epoch + 1} of {trainer.max_epochs}{figures}, {rate:,.0f} photos a second")
