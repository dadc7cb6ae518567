"""Training: it learns, it is the same every time, and a kill costs an epoch and nothing else."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from face_assets.core.errors import UserError
from face_assets.embedding import activations
from face_assets.embedding.features import faces_stored
from face_assets.embedding.learning_curve import verification
from face_assets.embedding.training import TrainingRequest, train
from face_assets.embedding.training_callbacks import resumable
from face_assets.embedding.weights import load_embedder
from face_assets.storage.content_store import ContentStore
from face_assets.storage.home import StoreFolder
from tests.embedding.fitted_weights import write_fitted_weights
from tests.embedding.training_requests import KEYS, request


def silent(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Starting weights that look at the picture: a seeded network whose normalisations fit the activations it has."""
    return str(write_fitted_weights(tmp_path_factory.mktemp("weights") / "start.pt"))


def test_training_the_head_keeps_the_trunk_and_lowers_the_loss(tmp_path: Path, crop_store: ContentStore, weights: str) -> None:
    asked = request(tmp_path, crop_store, weights, embedding_regularization=0.0)
    result = train(asked, tmp_path / "work", tmp_path / "out", 1, silent)
    before, after = torch.load(weights), load_embedder(tmp_path / "out" / "embedder.pt", 32, 0).state_dict()
    changed = {key for key in after if not torch.equal(before[key].float(), after[key].float())}
    assert changed == {"last_linear.weight", "last_bn.weight", "last_bn.bias"}, "statistics of last_bn are kept"
    assert result.embedding_size == 32 and result.epochs == 4
    assert [row["epoch"] for row in result.curve] == [0, 1, 2, 3, 4], "row 0 is the starting weights"
    assert result.curve[-1]["loss"] < result.curve[1]["loss"]
    with open(tmp_path / "out" / "learning_curve.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["loss"]) == result.curve[-1]["loss"]
    metrics = json.loads((tmp_path / "out" / "metrics" / "metrics.json").read_text())
    assert metrics["step"] == 4 and 0 <= metrics["validation_auc"] <= 1
    assert (tmp_path / "out" / "metrics" / "plots" / "metrics" / "loss.tsv").read_text().startswith("step\tloss\n1\t")


@pytest.mark.slow
def test_an_unfrozen_block_moves_and_those_before_it_do_not(tmp_path: Path, crop_store: ContentStore, weights: str) -> None:
    train(request(tmp_path, crop_store, weights, unfreeze="repeat_3", epochs=1), tmp_path / "work", tmp_path / "out", 1, silent)
    before, after = torch.load(weights), load_embedder(tmp_path / "out" / "embedder.pt", 32, 0).state_dict()
    changed = {key.split(".")[0] for key in after if not torch.equal(before[key], after[key])}
    assert changed == {"repeat_3", "block8", "last_linear", "last_bn"}
    assert torch.equal(before["block8.branch0.bn.running_mean"], after["block8.branch0.bn.running_mean"])


@pytest.mark.slow
@pytest.mark.parametrize("flip", [True, False])
def test_stored_activations_train_as_crops_do(
    tmp_path: Path, crop_store: ContentStore, weights: str, monkeypatch: pytest.MonkeyPatch, flip: bool
) -> None:
    def curve(name: str) -> list[dict[str, float]]:
        asked = request(tmp_path, crop_store, weights, unfreeze="repeat_3", epochs=3, flip=flip)
        return train(asked, tmp_path / name, tmp_path / f"{name}-out", 1, silent).curve

    stored = curve("stored")
    assert len(list((tmp_path / "features").glob("*-mirrored.sqlite"))) == flip
    monkeypatch.setattr(activations, "MOST_BYTES", 0)
    losses = [[row["loss"] for row in rows[1:]] for rows in (stored, curve("crops"))]
    assert losses[0] == pytest.approx(losses[1], rel=5e-3)  # three epochs amplify the last bits


@pytest.mark.slow
def test_bf16_trains_about_as_f32_does(tmp_path: Path, crop_store: ContentStore, weights: str) -> None:
    losses = []
    for precision in ("f32", "bf16"):
        asked = request(tmp_path, crop_store, weights, unfreeze="block8", epochs=2, precision=precision)
        result = train(asked, tmp_path / precision, tmp_path / f"{precision}-out", 1, silent)
        losses.append([row["loss"] for row in result.curve[1:]])
    assert losses[0] == pytest.approx(losses[1], rel=0.02) and losses[0] != losses[1]


@pytest.mark.slow
def test_from_scratch_people_come_apart(tmp_path: Path, crop_store: ContentStore) -> None:
    asked = request(tmp_path, crop_store, "scratch", unfreeze="all", epochs=8, learning_rate=0.002, photos_per_person=2)
    result = train(asked, tmp_path / "work", tmp_path / "out", 1, silent)
    assert result.curve[-1]["loss"] < result.curve[0]["loss"]
    model = load_embedder(str(tmp_path / "out" / "embedder.pt"), 512, 0)
    assert model.last_linear.out_features == 16
    seen = faces_stored(model, None, "per_image", 80, crop_store, KEYS[:16], StoreFolder(tmp_path / "after"), 1, silent)[0]
    assert verification(seen, np.arange(16) // 4)["validation_auc"] > 0.9


@pytest.mark.slow
def test_a_strong_pull_keeps_the_starting_embeddings(tmp_path: Path, crop_store: ContentStore, weights: str) -> None:
    def moved(regularization: float) -> float:
        out = tmp_path / str(regularization)
        train(
            request(tmp_path, crop_store, weights, embedding_regularization=regularization, learning_rate=0.01),
            out / "work",
            out,
            1,
            silent,
        )
        vectors = [
            faces_stored(
                load_embedder(name, 512, 0), None, "per_image", 80, crop_store, KEYS, StoreFolder(tmp_path / "features"), 1, silent
            )[0]
            for name in (weights, str(out / "embedder.pt"))
        ]
        return float(1 - (vectors[0] * vectors[1]).sum(1).mean())

    assert moved(100.0) < 0.5 * moved(0.0)


def test_a_pull_towards_production_keeps_its_embeddings_and_repeats_to_the_byte(
    tmp_path: Path, crop_store: ContentStore, weights: str
) -> None:
    """Production was trained on half of the photos by another seed; without the pull a training on all of them leads elsewhere."""
    asked = request(tmp_path, crop_store, weights, epochs=20, learning_rate=0.02)
    train(replace(asked, train=asked.train.model_copy(update={"seed": 7})), tmp_path / "work", tmp_path / "production", 1, silent)
    pulled = replace(asked, compatible=tmp_path / "production" / "embedder.pt", train=asked.train.model_copy(update={"compatibility": 5.0}))
    assert pulled.fingerprint() != asked.fingerprint(), "a checkpoint of the one is not resumed by the other"
    for name, one in (("free", asked), ("pulled", pulled), ("again", pulled)):
        train(one, tmp_path / f"work-{name}", tmp_path / name, 1, silent)

    def embeddings(name: str) -> np.ndarray:
        model = load_embedder(tmp_path / name / "embedder.pt", 16, 0)
        return faces_stored(model, None, "per_image", 80, crop_store, KEYS, StoreFolder(tmp_path / "features"), 1, silent)[0]

    there = embeddings("production")
    distances = {name: float(1 - (embeddings(name) * there).sum(axis=1).mean()) for name in ("free", "pulled")}
    assert distances["pulled"] < distances["free"] / 2, distances
    assert (tmp_path / "pulled" / "embedder.pt").read_bytes() == (tmp_path / "again" / "embedder.pt").read_bytes()


def test_no_epochs_keep_the_starting_weights(tmp_path: Path, crop_store: ContentStore, weights: str) -> None:
    result = train(request(tmp_path, crop_store, weights, epochs=0), tmp_path / "work", tmp_path / "out", 1, silent)
    before, after = torch.load(weights), load_embedder(tmp_path / "out" / "embedder.pt", 32, 0).state_dict()
    assert all(torch.equal(before[key], after[key]) for key in after) and result.epochs == 0


@pytest.mark.slow
def test_without_validation_people_training_goes_on(tmp_path: Path, crop_store: ContentStore, weights: str) -> None:
    asked = request(tmp_path, crop_store, weights, epochs=1)
    for keys, labels in (([], []), (KEYS[16:17], [4]), (KEYS[16:18], [4, 5])):
        alone = TrainingRequest(**{**asked.__dict__, "validation_keys": keys, "validation_labels": labels})
        curve = train(alone, tmp_path / f"work{len(keys)}", tmp_path / f"out{len(keys)}", 1, silent).curve
        assert [set(row) for row in curve] == [{"epoch", "loss"}]


def test_what_cannot_be_trained_is_refused(tmp_path: Path, crop_store: ContentStore, weights: str) -> None:
    asked = request(tmp_path, crop_store, weights)
    alone = TrainingRequest(**{**asked.__dict__, "train_labels": [3] * 16})
    with pytest.raises(UserError, match="one person only"):
        train(alone, tmp_path / "work", tmp_path / "out", 1, silent)
    with pytest.raises(UserError, match="unfreeze: all"):
        train(request(tmp_path, crop_store, "scratch"), tmp_path / "work", tmp_path / "out", 1, silent)


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_training import request, silent
from face_assets.storage.content_store import ContentStore
from face_assets.storage.home import StoreFolder
from face_assets.embedding.training import train
from face_assets.storage.home import StoreFolder
place, work, out, weights, unfreeze = Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]), sys.argv[5], sys.argv[6]
settings = {"epochs": int(sys.argv[7]), "unfreeze": unfreeze, "photos_per_person": 2 if unfreeze == "all" else 0}
settings["degrade"] = {"camera": 2, "turned": 1} if unfreeze == "block8" else {}
train(request(place, ContentStore(place / "crops.sqlite"), weights, **settings), work, out, 1, lambda line: print(line, flush=True))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("unfreeze", "start", "epochs"), [("head", "", 300), ("block8", "", 8), ("all", "scratch", 5)])
def test_a_killed_run_resumes_to_the_same_bytes(
    tmp_path: Path, crop_store: ContentStore, weights: str, unfreeze: str, start: str, epochs: int
) -> None:
    def command(work: str, out: str) -> list[str]:
        arguments = [Path(__file__).parent, tmp_path, tmp_path / work, tmp_path / out, start or weights, unfreeze, epochs]
        return [sys.executable, "-c", SCRIPT, *map(str, arguments)]

    def lines_of(work: str) -> list[str]:
        return subprocess.run(command(work, work + "-out"), check=True, capture_output=True, text=True).stdout.splitlines()

    with ThreadPoolExecutor(1) as beside:
        whole = beside.submit(lines_of, "whole")
        process = subprocess.Popen(command("killed", "killed-out"), stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(f"epoch {max(2, epochs // 2)} "):
                break
        time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "killed-out" / "embedder.pt").exists()
        assert any(line.startswith("going on from") for line in lines_of("killed"))
        whole.result()
    for name in ("embedder.pt", "learning_curve.csv", "metrics/metrics.json"):
        assert (tmp_path / "whole-out" / name).read_bytes() == (tmp_path / "killed-out" / name).read_bytes(), name


@pytest.mark.parametrize("trouble", [OSError(5, "Input/output error"), MemoryError()])
def test_a_disk_or_a_memory_that_fails_for_a_moment_costs_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    checkpoint = tmp_path / "last.ckpt"
    torch.save({"face_assets": {"fingerprint": "same"}, "epoch": 3}, checkpoint)

    def fails(*_: object, **__: object) -> None:
        raise trouble

    with monkeypatch.context() as patched, pytest.raises(type(trouble)):
        patched.setattr(torch, "load", fails)
        resumable(checkpoint, "same", lambda line: None)
    assert resumable(checkpoint, "same", lambda line: None)


@pytest.mark.slow
def test_a_checkpoint_that_is_torn_or_of_another_training_is_left_aside(tmp_path: Path, crop_store: ContentStore, weights: str) -> None:
    asked = request(tmp_path, crop_store, weights, epochs=2)
    train(asked, tmp_path / "work", tmp_path / "out", 1, silent)
    whole = (tmp_path / "out" / "embedder.pt").read_bytes()
    checkpoint = tmp_path / "work" / "last.ckpt"
    said: list[str] = []
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    train(asked, tmp_path / "work", tmp_path / "again", 1, said.append)
    assert any("cannot be read" in line for line in said)
    assert (tmp_path / "again" / "embedder.pt").read_bytes() == whole
    train(request(tmp_path, crop_store, weights, epochs=2, seed=9), tmp_path / "work", tmp_path / "other", 1, said.append)
    assert any("of another training" in line for line in said)
    assert (tmp_path / "other" / "embedder.pt").read_bytes() != whole


def test_training_leaves_the_process_as_it_was(
    tmp_path: Path, crop_store: ContentStore, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    torch.manual_seed(7)
    expected, threads = torch.rand(1), torch.get_num_threads()
    torch.manual_seed(7)
    train(request(tmp_path, crop_store, weights, epochs=1), tmp_path / "work", tmp_path / "out", 2, silent)
    assert torch.get_num_threads() == threads and torch.rand(1) == expected
    assert {path.name for path in tmp_path.iterdir()} >= {"out", "work"}
    assert not (tmp_path / ".dvc").exists() and not (tmp_path / "lightning_logs").exists()


def test_verification_figures_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(40, 8)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    labels = np.arange(40) // 4
    pairs = [(i, j) for i in range(40) for j in range(i)]
    genuine = [float(embeddings[i] @ embeddings[j]) for i, j in pairs if labels[i] == labels[j]]
    impostor = [float(embeddings[i] @ embeddings[j]) for i, j in pairs if labels[i] != labels[j]]
    auc = np.mean([(g > i) + 0.5 * (g == i) for g in genuine for i in impostor])
    assert verification(embeddings, labels)["validation_auc"] == pytest.approx(auc, abs=1e-6)
    assert verification(embeddings, np.arange(40)) == {}


def test_the_loss_is_the_librarys() -> None:
    from pytorch_metric_learning.losses import CosFaceLoss

    from face_assets.embedding.lightning_module import CosFace

    random = torch.Generator().manual_seed(1)
    embeddings, labels = torch.randn(40, 16, generator=random), torch.randint(0, 30, (40,), generator=random)
    found = []
    for kind in (CosFaceLoss, CosFace):
        loss = kind(30, 16, margin=0.2, scale=32.0)
        loss.W.data.copy_(torch.randn(16, 30, generator=torch.Generator().manual_seed(2)))
        inputs = embeddings.clone().requires_grad_()
        value = loss(inputs, labels)
        value.backward()
        found.append((value.detach(), inputs.grad, loss.W.grad))
    for theirs, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
