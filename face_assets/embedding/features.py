"""Outputs of frozen blocks for crops, above all the trunk's features: computed once on the device of the settings, stored by content."""

import hashlib
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from face_assets.core.batches import batched
from face_assets.core.cluster import Cluster, Folder, ray_cluster
from face_assets.core.devices import Device, chosen
from face_assets.core.errors import UserError
from face_assets.core.files import new_directory
from face_assets.core.fingerprint import fingerprint
from face_assets.core.inference import Batches, compile_network
from face_assets.core.onnx_runtime import DeviceBatches, OnnxNetwork
from face_assets.core.progress import Progress, progress_lines
from face_assets.storage.content_store import ContentStore, Entry
from face_assets.storage.home import StoreFolder

if TYPE_CHECKING:
    from torch import nn

    from face_assets.embedding.network import InputNormalization

BATCH = 8
HEAD_BATCH = 4096
KEYS_AT_ONCE = 4 * HEAD_BATCH
KEYS_A_TRANSACTION = 256  # lost by a kill at most: about four seconds of work
KEYS_A_NODE = 64  # by a node of the cluster at a time: five seconds of work on 5 MB
FEATURES = 1792
NETWORK, IN_ONNX = "network.xml", "network.onnx"
OPSET = 18


def trunk_fingerprint(model: "nn.Module", normalization: "InputNormalization", image_size: int) -> str:
    """Digest of the trunk's weights, the input normalization and the side of the crop, which determine a crop's features."""
    from face_assets.embedding.network import Trunk

    return blocks_fingerprint(Trunk(model), normalization, image_size)


def blocks_fingerprint(blocks: "nn.Module", *how: Any) -> str:
    """Digest of weights and of `how` they are used."""
    digest = hashlib.sha256()
    for name, value in blocks.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return fingerprint(digest.hexdigest(), *how)


def compute_features(
    model: "nn.Module",
    normalization: "InputNormalization",
    crops: ContentStore,
    keys: Sequence[str],
    store: ContentStore,
    threads: int,
    progress: Progress | None = None,
    cluster: Cluster | None = None,
) -> int:
    """Adds missing features to `store` and returns their number.

    On a CPU a feature depends on its crop alone, to the bit: neither on the batch nor on `threads`. `progress` is called with (done, all)
    after each transaction. Raises UserError if a crop is not in `crops`.
    """
    from face_assets.embedding.network import TrunkFeatures

    return compute_rows(TrunkFeatures(model, normalization), partial(load_crops, crops), keys, store, threads, progress, cluster=cluster)


def compute_rows(
    network: "nn.Module",
    images_of: Callable[[Sequence[str]], np.ndarray],
    keys: Sequence[str],
    store: ContentStore,
    threads: int,
    progress: Progress | None = None,
    kind: type[np.floating[Any]] = np.float32,
    cluster: Cluster | None = None,
) -> int:
    """Adds missing rows to `store` as `compute_features` does, for any network from images uint8 (n, s, s, 3) to float32 (n, …).

    images_of: the images of keys; kind: of the stored numbers. With a cluster its nodes do the work of this machine's `threads`.
    """
    missing = store.missing(keys)
    if not missing:
        store.publish()  # what an earlier call computed and could not share
        return 0
    side, folder = images_of(missing[:1]).shape[1], store.path.with_suffix("")
    count = KEYS_A_NODE if cluster else KEYS_A_TRANSACTION
    batches = map(images_of, batched(missing, count))
    if cluster:
        results = cluster.results(RowsOnNode(Folder.of(_kept(network, side, folder, NETWORK).parent)), batches)
    else:
        results = map(_batches(network, side, folder, threads, chosen()).infer, batches)
    for start, rows in zip(range(0, len(missing), count), results, strict=True):
        part = missing[start : start + count]
        if kind is not np.float32:  # half precision ends at 65,504
            rows = rows.clip(np.finfo(kind).min, np.finfo(kind).max).astype(kind)
        store.put(Entry(key, {}, row.tobytes()) for key, row in zip(part, rows, strict=True))
        if progress is not None:
            progress(start + len(part), len(missing))
    store.publish()
    return len(missing)


@dataclass(frozen=True)
class RowsOnNode:
    """Rows of batches of images, uint8 (n, s, s, 3), on a node of the cluster. network: the folder of NETWORK."""

    network: Folder

    def open(self) -> Callable[[np.ndarray], np.ndarray]:
        """The function from a batch to its rows, float32 (n, …)."""
        with self.network.written() as folder:
            return _on_processors(folder / NETWORK, 1).infer


def load_features(store: ContentStore, keys: Sequence[str]) -> np.ndarray:
    """Features float32 (n, 1792) in the order of `keys`. Raises KeyError for one that is not computed."""
    return load_rows(store, keys, (FEATURES,))


def load_rows(store: ContentStore, keys: Sequence[str], shape: tuple[int, ...], kind: type[np.floating[Any]] = np.float32) -> np.ndarray:
    """Rows (n, *shape) in the order of `keys`, of the kind in which they are stored. Raises KeyError for one that is not computed."""
    places: dict[str, list[int]] = {}
    for place, key in enumerate(keys):
        places.setdefault(key, []).append(place)
    rows = np.empty((len(keys), *shape), kind)
    for entry in store.entries(keys):
        rows[places.pop(entry.key)] = np.frombuffer(entry.blob or b"", kind).reshape(shape)
    if places:
        raise KeyError(next(iter(places)))
    return rows


def faces_stored(
    model: "nn.Module",
    quality: np.ndarray | None,
    normalization: "InputNormalization",
    image_size: int,
    crops: ContentStore,
    keys: Sequence[str],
    folder: StoreFolder,
    threads: int,
    log: Callable[[str], None],
) -> tuple[np.ndarray, np.ndarray]:
    """Unit embeddings float32 (n, d) and raw qualities float32 (n,) of stored crops, in the order of `keys`, by `model` in float32.

    quality: the quality head, float32 (k, 1793), of `network.quality_head`; without it the raw qualities are NaN. `folder` has a file of
    features for each trunk, so crops that this trunk has seen cost next to nothing, whatever the head. Features of KEYS_AT_ONCE crops are
    in memory at a time.
    """
    store = feature_store(model, normalization, image_size, crops, keys, folder, threads, log)
    embeddings, raw = [], []
    for part in [*batched(keys, KEYS_AT_ONCE)] or [[]]:
        features = load_features(store, part)
        embeddings.append(head_embeddings(model, features))
        raw.append(raw_quality(features, quality))
    return np.concatenate(embeddings), np.concatenate(raw)


def feature_store(
    model: "nn.Module",
    normalization: "InputNormalization",
    image_size: int,
    crops: ContentStore,
    keys: Sequence[str],
    folder: StoreFolder,
    threads: int,
    log: Callable[[str], None],
) -> ContentStore:
    """The store of this trunk's features; computes those of `keys` that it lacks and logs the rate."""
    store = folder.open(trunk_fingerprint(model, normalization, image_size))
    progress = progress_lines(log, "trunk features of", "crops")
    compute_features(model, normalization, crops, keys, store, threads, progress, ray_cluster(log))
    return store


def head_embeddings(model: "nn.Module", features: np.ndarray) -> np.ndarray:
    """Unit embeddings float32 (n, d) of trunk features (n, 1792)."""
    import torch
    from torch.nn import functional as F

    from face_assets.embedding.network import Head

    head = Head(model).eval()
    with torch.inference_mode():
        parts = [F.normalize(head(part)).numpy() for part in torch.split(torch.from_numpy(features), HEAD_BATCH)]
    return np.concatenate(parts) if parts else np.empty((0, 0), np.float32)


def raw_quality(features: np.ndarray, quality: np.ndarray | None) -> np.ndarray:
    """Raw qualities float32 (n,) of trunk features (n, 1792), as `network.QualityHead` computes them; NaN without a quality head."""
    if quality is None:
        return np.full(len(features), np.nan, np.float32)
    kept = np.linalg.norm(features @ quality[:, :-1].T + quality[:, -1], axis=1)
    return np.asarray(kept / np.maximum(np.linalg.norm(features, axis=1), 1e-12), np.float32)


def load_crops(store: ContentStore, keys: Sequence[str]) -> np.ndarray:
    """Crops uint8 (n, s, s, 3), RGB, in the order of `keys`. Raises UserError if some are missing or sizes differ."""
    if not keys:
        return np.empty((0, 0, 0, 3), np.uint8)
    places: dict[str, list[int]] = {}
    for i, key in enumerate(keys):
        places.setdefault(key, []).append(i)
    images: np.ndarray | None = None
    found = 0
    for entry in store.entries(keys):
        if entry.blob is None:
            continue
        side = math.isqrt(len(entry.blob) // 3)
        if images is None:
            images = np.empty((len(keys), side, side, 3), np.uint8)
        if len(entry.blob) != images[0].size:
            raise UserError(f"{store.path} holds crops of several sizes: delete it, and align the faces again")
        images[places[entry.key]] = np.frombuffer(entry.blob, np.uint8).reshape(images.shape[1:])
        found += 1
    if images is None or found < len(places):
        raise UserError(f"{store.path} lacks {len(places) - found} of {len(places)} crops: align the faces of this commit again")
    return images


def _batches(network: "nn.Module", image_size: int, folder: Path, threads: int, device: Device) -> Batches | DeviceBatches:
    """`network` on a device: by OpenVINO on the CPU, by ONNX Runtime on a GPU. folder: where it is stored for the next time."""
    if device.is_gpu:
        return DeviceBatches(OnnxNetwork(_kept(network, image_size, folder, IN_ONNX), device), device)
    return _on_processors(_kept(network, image_size, folder, NETWORK), threads)


def _on_processors(network: Path, threads: int) -> Batches:
    return Batches(compile_network(network, threads, streams=threads), threads, BATCH)  # one-threaded streams are fastest for many crops


def _kept(module: "nn.Module", image_size: int, folder: Path, name: str) -> Path:
    """Path of `module` in float32, stored in `folder` as an OpenVINO network or as IN_ONNX: tracing takes seconds, reading none."""
    if (folder / name).is_file():
        return folder / name
    with new_directory(folder) as directory:
        if name == IN_ONNX:
            _write_onnx(module, image_size, directory / name)
        else:
            _write_openvino(module, image_size, directory / name)
    return folder / name


def _write_openvino(module: "nn.Module", image_size: int, file: Path) -> None:
    import openvino as ov
    import torch

    with warnings.catch_warnings():
        # The crop's side is a constant of the graph on purpose, and OpenVINO still traces with torch.jit.
        warnings.filterwarnings("ignore", message="Converting a tensor to a Python|.torch.jit.trace")
        example = torch.zeros((2, image_size, image_size, 3), dtype=torch.uint8)
        # traced once: OpenVINO by itself has torch trace again and compare, which takes as long once more
        traced = torch.jit.trace(module.eval(), example, strict=False, check_trace=False)  # type: ignore[no-untyped-call]
        network = ov.convert_model(traced, example_input=example, input=[ov.PartialShape([-1, image_size, image_size, 3])])
    ov.save_model(network, file, compress_to_fp16=False)


def _write_onnx(module: "nn.Module", image_size: int, file: Path) -> None:
    import torch

    example = torch.zeros((2, image_size, image_size, 3), dtype=torch.uint8)
    names, axes = {"input_names": ["crops"], "output_names": ["rows"]}, {"crops": {0: "n"}, "rows": {0: "n"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about tracing and its own deprecations
        torch.onnx.export(module.eval(), (example,), file, dynamo=False, opset_version=OPSET, dynamic_axes=axes, **names)  # type: ignore[arg-type]
