"""Crops a second in each precision against torch, and what of TAR each keeps, on test people."""

import time
from pathlib import Path

import numpy as np

from benchmarks.kit import Kit, made
from benchmarks.table import Row
from face_assets.biometrics.verification import evaluate
from face_assets.core.settings import usable_cores
from face_assets.embedding.engine import Engine

TEST_PHOTOS = 2500
CROPS = {"torch": 64, "f32": 128, "bf16": 256, "int8": 512}
ROUNDS = 3
BATCH = 16
FASTER = 6.0
FAR, KEPT = 1e-3, 0.998


def run(photos: Path) -> list[Row]:
    """Turn by turn; the best of the rounds counts. The reference is torch in batches of 16, on as many threads."""
    with made(photos, TEST_PHOTOS) as kit:
        engines = {precision: Engine(kit.engines[precision] / "embedder.xml", precision, usable_cores()) for precision in kit.engines}
        rounds = [_round(kit, engines) for _ in range(ROUNDS)]
        best = {name: max(one[name] for one in rounds) for name in CROPS}
        tar = {name: _tar(engine.embed(kit.crops), kit.people) for name, engine in engines.items()}
    rows = [
        Row(f"embedding in {name} against torch", best[name], best["torch"], "crops/s", FASTER if name == "int8" else 1.0)
        for name in ("f32", "bf16", "int8")
    ]
    note = f"{len(kit.crops):,} photos of {len(set(kit.people.tolist())):,} test people"
    return rows + [Row(f"TAR at FAR {FAR:g} in {name} against f32", tar[name], tar["f32"], "", KEPT, note) for name in ("bf16", "int8")]


def _round(kit: Kit, engines: dict[str, Engine]) -> dict[str, float]:
    rates = {"torch": _torch_rate(kit)}
    for name, engine in engines.items():
        started = time.perf_counter()
        engine.embed(kit.crops[: CROPS[name]])
        rates[name] = min(len(kit.crops), CROPS[name]) / (time.perf_counter() - started)
    return rates


def _torch_rate(kit: Kit) -> float:
    import torch

    from face_assets.embedding.network import ServedEmbedder

    model, threads = ServedEmbedder(kit.model, "per_image").eval(), torch.get_num_threads()
    torch.set_num_threads(usable_cores())
    crops = torch.from_numpy(kit.crops[: CROPS["torch"]])
    batches = [crops[start : start + BATCH] for start in range(0, len(crops), BATCH)]
    with torch.inference_mode():
        model(batches[0])
        started = time.perf_counter()
        for batch in batches:
            model(batch)
        seconds = time.perf_counter() - started
    torch.set_num_threads(threads)
    return sum(map(len, batches)) / seconds


def _tar(vectors: np.ndarray, people: np.ndarray) -> float:
    found = evaluate(vectors, people, FAR, 0).tar_at(FAR).tar
    return found if found is not None else float("nan")
