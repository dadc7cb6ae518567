"""kill -9 during each asset in turn: run again, and the release is the one that a run without a kill gives."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from face_assets.demo.synthetic import write_people
from face_assets.registry.git import git

PARAMS = """
split: {validation: 0.1, test: 0.3, min_test_people: 2}
detector: {image_size: 80, margin: 16, align: upright, max_rejected: 0.4}
embedder: {weights: scratch, embedding_size: 32}
train: {unfreeze: all, epochs: 2, batch_size: 16, learning_rate: 0.002, embedding_regularization: 0.0, scale: 16.0}
evaluation: {far: 0.05, fpir: 0.1, min_auc: 0.0, min_accuracy: 0.0, max_regression: 1.0, stress: {conditions: {jpeg: [10]}, photos: 2}}
gallery: {action: report}
serving: {golden_requests: 3, max_latency_ms: 5000}
"""
ASSETS = (
    "dataset_version", "aligned_faces", "label_audit", "face_embedder", "exported_embedder", "embedder_evaluation",
    "gallery_audit", "face_gallery", "recognizer_release", "triton_model_repository", "triton_deployment",
)  # fmt: skip
MIDDLES = {
    "aligned_faces": "detecting faces in",
    "face_embedder": "epoch 1 of 2",
    "exported_embedder": "exporting to ONNX",
    "recognizer_release": "registering the release",
}
"""What the log says in the middle of a step; the others are killed at their beginning, the deployment when it has started a server."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]


def release_of(repository: Path) -> bytes:
    return git("show", "face-recognizer@v1.0.0:release.json", cwd=repository)


def kill_in(cli: Any, asset: str) -> None:
    """Starts a run and kills it, and all that it started but the server, while it is in `asset`."""
    command = [str(Path(sys.executable).with_name("face-assets")), "run", "--repo", "data", "--json"]
    home = Path(cli.environment["FACE_ASSETS_HOME"])
    logs, server = home / "logs" / "runs", home / "serving" / "server.json"
    before = set(logs.glob("*.log"))
    with subprocess.Popen(command, env=cli.environment, cwd=cli.folder, stdout=subprocess.DEVNULL, start_new_session=True) as run:
        ends = time.monotonic() + 600
        while time.monotonic() < ends:
            text = "".join(log.read_text(errors="replace") for log in set(logs.glob("*.log")) - before)
            if f"{asset} - {MIDDLES.get(asset, 'STEP_START')}" in text and (asset != "triton_deployment" or server.exists()):
                break
            assert run.poll() is None, f"the run ended before {asset} began"
            time.sleep(0.05)
        os.killpg(run.pid, signal.SIGKILL)


def test_a_kill_in_any_asset_changes_nothing_in_the_end(cli: Any, free_ports: Callable[[int], list[int]]) -> None:
    write_people(cli.folder / "photos", 14, 4)
    (cli.folder / "params.yaml").write_text(PARAMS)
    cli("init", "data", "--photos", "photos", "--params", "params.yaml")
    shutil.copytree(cli.folder / "data", cli.folder / "undisturbed", symlinks=True)
    ports = dict(zip(("FACE_ASSETS_HTTP_PORT", "FACE_ASSETS_GRPC_PORT", "FACE_ASSETS_METRICS_PORT"), map(str, free_ports(3)), strict=True))
    other = {**cli.environment, **ports, "FACE_ASSETS_HOME": cli.environment["FACE_ASSETS_HOME"] + "-undisturbed"}
    undisturbed = type(cli)(other, cli.folder)
    with ThreadPoolExecutor(1) as beside:
        running = beside.submit(undisturbed, "run", "--repo", "undisturbed")
        for asset in ASSETS:
            kill_in(cli, asset)
        report = cli.json("run")
        running.result()
    undisturbed("down")
    assert report["assets"]["triton_deployment"]["live"] == "v1.0.0"
    assert cli.json("status")["server"]["ready"] is True
    tags = git("tag", cwd=cli.folder / "data").decode().split()
    assert tags == ["face-recognizer#production#1", "face-recognizer@v1.0.0"]
    assert release_of(cli.folder / "data") == release_of(cli.folder / "undisturbed")
