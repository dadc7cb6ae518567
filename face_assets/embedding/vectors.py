"""Embeddings of stored crops: by weights in float32, and by an exported engine in its precision."""

import hashlib
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from face_assets.core.batches import batched
from face_assets.core.cluster import Folder, ray_cluster
from face_assets.core.cluster_task import arithmetic
from face_assets.core.devices import chosen
from face_assets.core.files import read_json
from face_assets.core.fingerprint import fingerprint
from face_assets.core.params import Detector, Params
from face_assets.core.step_versions import step_version
from face_assets.detection.detectors import crop_store, detector_fingerprint
from face_assets.embedding.engine_files import NETWORK, ONNX, QUALITY_HEAD, SOURCE, files_with_weights, network_digests
from face_assets.embedding.onnx_embedder import Pictures, onnx_engine
from face_assets.embedding.shrunk_crops import ShrunkCrops
from face_assets.registry.workspace import Log, Workspace
from face_assets.storage.artifacts import Artifact
from face_assets.storage.content_store import ContentStore, Entry
from face_assets.storage.home import StoreFolder

if TYPE_CHECKING:
    from torch import nn

    from face_assets.embedding.device_engine import DeviceEngine
    from face_assets.embedding.engine import Engine

CROPS_A_TRANSACTION = 512
UNNAMED = "fc16846d60e1d8b9"
"""Version of `features` under which no name of a store had one."""

MODELS_KEPT = 2

_loaded: dict[tuple[str, int, int], "nn.Module"] = {}
_loading = threading.Lock()


@dataclass(frozen=True)
class Embedding:
    """Configuration of an embedding: weights, input normalization, and the detector that cut the crops."""

    weights: str
    normalization: Literal["fixed", "per_image"]
    embedding_size: int
    detector: Detector
    seed: int = 0
    pictures: "Pictures | None" = None
    """Input of weights in ONNX; None of an InceptionResnetV1."""

    @staticmethod
    def of(params: Params, weights: str) -> "Embedding":
        """The configuration of `weights` with the parameters of a commit."""
        asked = params.embedder
        pictures = Pictures.of(asked) if asked.is_onnx else None
        return Embedding(weights, asked.whitening, asked.embedding_size, params.detector, params.train.seed, pictures)

    @staticmethod
    def of_bundle(bundle: Path, detector: Detector) -> "Embedding":
        """The configuration of a release's weights for the crops of a detector."""
        engine = read_json(bundle / "engine.json")
        if engine["whitening"] == ONNX:
            return Embedding(str(bundle / SOURCE), "fixed", engine["embedding_size"], detector, pictures=Pictures.of_engine(engine))
        return Embedding(str(bundle / "embedder.pt"), engine["whitening"], engine["embedding_size"], detector)


def feature_folder(workspace: Workspace, detector: Detector) -> StoreFolder:
    """Folder of the stored trunk features of a detector's crops."""
    return workspace.home.features("-".join([detector_fingerprint(workspace, detector), *_version()]))


def _version() -> list[str]:
    """The version of stored features and embeddings; none for UNNAMED, whose stores were named without one."""
    return [] if step_version("features") == UNNAMED else [step_version("features")]


@dataclass(frozen=True)
class EngineOnNode:
    """Rows of batches of crops by an engine, on a node of the cluster. network: the folder of the network's files."""

    network: Folder
    precision: str

    def open(self) -> Callable[[np.ndarray], np.ndarray]:
        """The function from crops uint8 (n, s, s, 3) to their rows as they are stored."""
        from face_assets.embedding.engine import Engine

        with self.network.written() as folder:
            return stored_rows(Engine(folder / NETWORK[0], self.precision, 1))


def stored_rows(engine: "Engine | DeviceEngine") -> Callable[[np.ndarray], np.ndarray]:
    """The function from crops uint8 (n, s, s, 3) to rows float32 (n, d + 1); (n, d) of engines of earlier versions."""
    return engine.rows if engine.has_quality else lambda crops: engine.rows(crops)[:, :-1]


@dataclass(frozen=True)
class Embedded:
    """Faces by an embedder: unit embeddings float32 (n, d), and raw qualities float32 (n,), NaN by an engine that has none."""

    embeddings: np.ndarray
    raw: np.ndarray


def embed(workspace: Workspace, how: Embedding, keys: Sequence[str], log: Log) -> np.ndarray:
    """Embeddings float32 (n, d) of stored crops in f32, in their order. Only crops without stored features pass through the trunk, and
    only those without a stored embedding through the head."""
    return _embed(workspace, how, keys, log).embeddings


def _embed(
    workspace: Workspace, how: Embedding, keys: Sequence[str], log: Log, quality: np.ndarray | None = None, shrunk: bool = False
) -> Embedded:
    """Faces by weights in float32, stored by content: torch and the network are loaded for those alone that are not stored yet."""
    from face_assets.embedding.weights import weights_fingerprint

    if how.pictures:
        engine = onnx_engine(workspace, Path(how.weights), how.pictures, how.detector.image_size, how.weights)
        return engine_faces(workspace, engine, how.detector, keys, log, shrunk)
    digest, head = weights_fingerprint(how.weights), None if quality is None else hashlib.sha256(quality.tobytes()).hexdigest()
    decided_by = (how.normalization, how.embedding_size, how.seed, detector_fingerprint(workspace, how.detector), head, *_version())
    store = workspace.home.embeddings(fingerprint("float32", digest, *decided_by))

    def compute(missing: Sequence[str]) -> np.ndarray:
        from face_assets.embedding.features import faces_stored

        crops, folder = _crops(workspace, how.detector, shrunk), feature_folder(workspace, how.detector)
        side, threads = how.detector.image_size, workspace.settings.cores
        made = faces_stored(_model(digest, how), quality, how.normalization, side, crops, missing, folder, threads, log)
        return np.column_stack(made)

    rows = _stored_rows(store, keys, lambda missing: [compute(missing)]) if keys else compute(keys)
    return Embedded(np.ascontiguousarray(rows[:, :-1]), np.ascontiguousarray(rows[:, -1]))


def _stored_rows(store: ContentStore, keys: Sequence[str], compute: Callable[[Sequence[str]], Iterable[np.ndarray]]) -> np.ndarray:
    """Rows float32 (n, k) of `keys`, in their order; `compute` yields those that the store lacks, in parts, each stored as it comes."""
    missing = store.missing(keys)
    rest = iter(missing)
    for part in compute(missing) if missing else ():
        store.put(Entry(key, {}, row.tobytes()) for key, row in zip(islice(rest, len(part)), part, strict=True))
    store.publish()
    found = {entry.key: np.frombuffer(entry.blob or b"", np.float32) for entry in store.entries(keys)}
    return np.stack([found[key] for key in keys])


def _model(digest: str, how: Embedding) -> "nn.Module":
    """The embedder of `how`, to be read only. digest: of the weights. The last two stay in memory: the steps of a run ask for the starting
    weights and the trained ones a dozen times, and loading takes as long as embedding ten thousand crops of which features are stored."""
    from face_assets.embedding.weights import load_embedder

    key = (digest, how.embedding_size, how.seed)
    with _loading:
        found = _loaded.pop(key, None)
        if found is None:
            found = load_embedder(how.weights, how.embedding_size, how.seed)
        _loaded[key] = found
        while len(_loaded) > MODELS_KEPT:
            del _loaded[next(iter(_loaded))]
    return found


def served_vectors(workspace: Workspace, params: Params, exported: Artifact, keys: Sequence[str], log: Log) -> np.ndarray:
    """Embeddings float32 (n, d) of stored crops by the commit's exported engine."""
    return engine_vectors(workspace, exported.directory, params.detector, keys, log)


def engine_vectors(workspace: Workspace, directory: Path, detector: Detector, keys: Sequence[str], log: Log) -> np.ndarray:
    """Embeddings float32 (n, d) of stored crops by the engine in `directory`, as of `engine_faces`."""
    return engine_faces(workspace, directory, detector, keys, log).embeddings


def engine_faces(
    workspace: Workspace, directory: Path, detector: Detector, keys: Sequence[str], log: Log, shrunk: bool = False
) -> Embedded:
    """Embeddings and raw qualities of stored crops by the engine in `directory`, in its precision; of `shrunk` ones by their own keys.

    In f32 those of an InceptionResnetV1 are computed from the stored trunk features and torch's head, which equals the engine within its
    checked parity, so a new head needs no pass over the crops. Otherwise the engine computes them. Both are stored by content.
    """
    engine = read_json(directory / "engine.json")
    if not keys:
        return Embedded(np.zeros((0, engine["embedding_size"]), np.float32), np.zeros(0, np.float32))
    if engine["precision"] != "f32" or engine["whitening"] == ONNX:
        return _kept(workspace, directory, engine["precision"], detector, keys, log, shrunk)
    how = Embedding(str(directory / "embedder.pt"), engine["whitening"], engine["embedding_size"], detector)
    head = directory / QUALITY_HEAD
    return _embed(workspace, how, keys, log, np.load(head, allow_pickle=False) if head.is_file() else None, shrunk)


def _crops(workspace: Workspace, detector: Detector, shrunk: bool) -> ContentStore:
    return ShrunkCrops(crop_store(workspace, detector)) if shrunk else crop_store(workspace, detector)


def _kept(
    workspace: Workspace, directory: Path, precision: str, detector: Detector, keys: Sequence[str], log: Log, shrunk: bool
) -> Embedded:
    from face_assets.embedding.features import load_crops

    name = fingerprint(network_digests(directory), precision, detector_fingerprint(workspace, detector), arithmetic(), *_version())

    def compute(missing: Sequence[str]) -> Iterable[np.ndarray]:  # the network takes a while to compile
        log(f"embedding {len(missing):,} crops in {precision}")
        batches = (load_crops(_crops(workspace, detector, shrunk), batch) for batch in batched(missing, CROPS_A_TRANSACTION))
        if cluster := ray_cluster(log):
            network = Folder({name: (directory / name).read_bytes() for name in files_with_weights(directory)})
            return cluster.results(EngineOnNode(network, precision), batches, same_processor=True)
        return map(stored_rows(_engine(directory, precision, workspace.settings.cores)), batches)

    rows, size = _stored_rows(workspace.home.embeddings(name), keys, compute), read_json(directory / "engine.json")["embedding_size"]
    return Embedded(np.ascontiguousarray(rows[:, :size]), rows[:, size] if rows.shape[1] > size else np.full(len(rows), np.nan, np.float32))


def _engine(directory: Path, precision: str, threads: int) -> "Engine | DeviceEngine":
    """The engine on the device of the settings; a lower precision stays on the CPU, where it was measured and serves."""
    from face_assets.embedding.device_engine import DeviceEngine
    from face_assets.embedding.engine import Engine

    device = chosen()
    if device.is_gpu and precision == "f32":
        return DeviceEngine(directory, device)
    return Engine(directory / "embedder.xml", precision, threads)
