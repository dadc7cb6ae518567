"""Training on two processes: the loss curve of one for the same batches; a kill; and BatchNorm that learns from whole batches."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from face_assets.core import params
from face_assets.core.errors import UserError
from face_assets.embedding.distributed import train_on
from face_assets.embedding.training import TrainingRequest
from face_assets.embedding.weights import load_embedder
from face_assets.storage.content_store import ContentStore
from face_assets.storage.home import StoreFolder

EPOCHS = 200
KEYS = [str(i) for i in range(24)]

pytestmark = pytest.mark.slow


def request(place: Path, crops: ContentStore, weights: str, **settings: object) -> TrainingRequest:
    """15 photos of 4 people in batches of 6: the last has 3, which two processes do not share evenly."""
    labels = [i // 4 for i in range(24)]
    return TrainingRequest(
        weights=weights,
        embedder=params.Embedder(weights=weights, embedding_size=16, whitening="per_image"),
        train=params.Train.model_validate({"epochs": 3, "batch_size": 6, "learning_rate": 0.0005, **settings}),
        crops=crops,
        image_size=80,
        features=StoreFolder(place / "features"),
        train_keys=KEYS[:15],
        train_labels=labels[:15],
        validation_keys=KEYS[16:],
        validation_labels=labels[16:],
    )


def curve(folder: Path) -> list[dict[str, float]]:
    with open(folder / "learning_curve.csv", encoding="utf-8") as file:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]


def test_two_processes_learn_as_one_does(tmp_path: Path, crop_store: ContentStore) -> None:
    start = str(tmp_path / "start.pt")
    torch.save(load_embedder("scratch", 32, seed=0).state_dict(), start)
    asked = request(tmp_path, crop_store, start, unfreeze="head", degrade={"camera": 1})
    said: list[str] = []
    for processes in (1, 2):
        train_on(processes, asked, tmp_path / f"work{processes}", tmp_path / f"out{processes}", 2, said.append)
    assert any("2 processes" in line for line in said)
    assert sum(line.startswith("epoch 3 of 3") for line in said) == 2, "each training, but not each process, tells of its epochs"
    one, two = curve(tmp_path / "out1"), curve(tmp_path / "out2")
    assert len(one) == len(two) >= 3
    for alone, together in zip(one[-3:], two[-3:], strict=True):
        assert together["loss"] == pytest.approx(alone["loss"], rel=1e-4)


SMALL_NETWORK = """
import json, sys, torch
from torch import nn
from face_assets.embedding import process_group
from face_assets.storage.home import StoreFolder
torch.set_num_threads(1)
torch.manual_seed(0)
# no biases before a normalisation: their gradient is nothing but noise, which AdamW would make steps of
network = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(),
                        nn.Linear(288, 4, bias=False), nn.BatchNorm1d(4))
batches = [(torch.rand(7, 3, 8, 8), torch.randint(0, 4, (7,))) for _ in range(6)]
process_group.join()
process_group.synchronize_batch_norm(network)
trained = nn.parallel.DistributedDataParallel(network) if process_group.world_size() > 1 else network
optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
losses = []
for images, labels in batches:
    mine, weight = process_group.shard(len(labels))
    loss = nn.functional.cross_entropy(trained(images[mine]), labels[mine]) * weight
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(float(process_group.mean(loss.detach())))
if process_group.rank() == 0:
    kept = {name: value.flatten().tolist() for name, value in network.state_dict().items()}
    open(sys.argv[1], "w").write(json.dumps([losses, kept]))
"""


def test_batch_normalisation_learns_from_the_whole_batch(tmp_path: Path) -> None:
    script = tmp_path / "small.py"
    script.write_text(SMALL_NETWORK)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    for before, name in (([], "one"), (torchrun, "two")):
        done = subprocess.run([sys.executable, *before, str(script), str(tmp_path / name)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    (losses, kept), (shared_losses, shared_kept) = (json.loads((tmp_path / name).read_text()) for name in ("one", "two"))
    assert shared_losses == pytest.approx(losses, rel=1e-4)
    for name, values in kept.items():
        assert shared_kept[name] == pytest.approx(values, rel=1e-3, abs=1e-4), name


def test_what_cannot_be_trained_is_refused_in_one_sentence(tmp_path: Path, crop_store: ContentStore) -> None:
    asked = request(tmp_path, crop_store, "scratch", unfreeze="all")
    alone = TrainingRequest(**{**asked.__dict__, "train_labels": [3] * 15})
    with pytest.raises(UserError, match=r"^the train split holds photos of one person only"):
        train_on(2, alone, tmp_path / "work", tmp_path / "out", 2, print)


def test_a_killed_process_ends_the_training_and_the_next_goes_on(tmp_path: Path, crop_store: ContentStore) -> None:
    start = str(tmp_path / "start.pt")
    torch.save(load_embedder("scratch", 32, seed=0).state_dict(), start)
    asked = request(tmp_path, crop_store, start, unfreeze="head", epochs=EPOCHS)
    said: list[str] = []

    def kill_one(line: str) -> None:
        said.append(line)
        if line.startswith(f"epoch {EPOCHS // 10} "):
            os.kill(children_of_torchrun()[-1], signal.SIGKILL)

    with pytest.raises(UserError, match="ended before its time: run again"):
        train_on(2, asked, tmp_path / "work", tmp_path / "out", 2, kill_one)
    assert not (tmp_path / "out" / "embedder.pt").exists()
    train_on(1, asked, tmp_path / "work", tmp_path / "out", 2, said.append)
    assert any(line.startswith("going on from") for line in said)
    assert [row["epoch"] for row in curve(tmp_path / "out")][-EPOCHS:] == list(range(1, EPOCHS + 1))


def children_of_torchrun() -> list[int]:
    def children(pid: int) -> list[int]:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    torchrun = next(child for child in children(os.getpid()) if b"torch.distributed.run" in Path(f"/proc/{child}/cmdline").read_bytes())
    return children(torchrun)
