"""Training on a node of the Ray cluster: a minute of it at a time, each from the checkpoint of the last; a lost node costs a minute."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from face_assets.core.cluster import Cluster
from face_assets.core.files import write_bytes
from face_assets.embedding.training import CHECKPOINT, Log, Paused, TrainingRequest, TrainingResult, store_inputs
from face_assets.embedding.weights import weights_fingerprint
from face_assets.storage.content_store import ContentStore, Entry
from face_assets.storage.home import StoreFolder

SECONDS_A_PART = 60.0
"""Of training between two checkpoints that are returned, and between two looks at its log lines."""
RESUMED = "going on from"


@dataclass(frozen=True)
class Part:
    """A part of a training: its log lines, seconds and photos, and the checkpoint, or in the end the files and the result."""

    lines: list[str]
    seconds: float
    photos: float
    checkpoint: bytes = b""
    files: dict[str, bytes] | None = None
    result: TrainingResult | None = None


@dataclass(frozen=True)
class TrainingOnNode:
    """A training with all that it reads, by content. weights: those it starts from and pulls towards, by the name of a field of the
    request; stored: entries of stores, by the name of a file."""

    request: TrainingRequest
    weights: dict[str, bytes]
    stored: dict[str, list[Entry]]
    processes: int
    threads: int
    pause_after: float = SECONDS_A_PART

    @staticmethod
    def of(request: TrainingRequest, processes: int, threads: int, log: Log) -> "TrainingOnNode":
        """The training of a request, after its inputs have been stored here."""
        stored: dict[str, list[Entry]] = {}
        for rows in store_inputs(request, threads, log):
            stored.setdefault(rows.store.path.name, []).extend(rows.store.entries(rows.keys))
        files = {"weights": request.weights, "compatible": request.compatible}
        weights = {name: Path(path).read_bytes() for name, path in files.items() if path and weights_fingerprint(path) != str(path)}
        # neither the address of a shared store nor its keys are sent
        plain = replace(request, crops=ContentStore(request.crops.path), features=StoreFolder(request.features.path))
        return TrainingOnNode(plain, weights, stored, processes, threads)

    def open(self) -> Callable[[list[bytes]], Part]:
        """The function from a checkpoint, or none, to the next part of the training."""
        folder = TemporaryDirectory(prefix="face-assets-")  # of this process: removed when it lets go of the function
        root = Path(folder.name)
        for name, entries in self.stored.items():
            ContentStore(root / "stores" / name).put(entries)
        for name, content in self.weights.items():
            (root / f"{name}.pt").write_bytes(content)
        crops = ContentStore(root / "stores" / self.request.crops.path.name)
        request = replace(self.request, crops=crops, features=StoreFolder(root / "stores"))
        if "weights" in self.weights:
            request = replace(request, weights=str(root / "weights.pt"))
        if "compatible" in self.weights:
            request = replace(request, compatible=root / "compatible.pt")

        def train_part(checkpoints: list[bytes]) -> Part:
            with TemporaryDirectory(dir=folder.name) as made:
                return self._train(request, Path(made), checkpoints)

        return train_part

    def _train(self, request: TrainingRequest, folder: Path, checkpoints: list[bytes]) -> Part:
        from face_assets.embedding.distributed import train_here

        work, output, lines = folder / "work", folder / "output", list[str]()
        for checkpoint in checkpoints:
            write_bytes(work / CHECKPOINT, checkpoint)
        output.mkdir()
        pause_after = self.pause_after if self.processes == 1 else math.inf
        try:
            result = train_here(self.processes, request, work, output, self.threads, lines.append, pause_after)
        except Paused as pause:
            return Part(lines, pause.seconds, pause.photos, (work / CHECKPOINT).read_bytes())
        files = {str(file.relative_to(output)): file.read_bytes() for file in output.rglob("*") if file.is_file()}
        return Part(lines, result.seconds, result.seconds * result.samples_a_second, files=files, result=result)


def train_on_cluster(
    cluster: Cluster, processes: int, request: TrainingRequest, work: Path, output: Path, threads: int, log: Log
) -> TrainingResult:
    """Trains as training.train does, on one node of the cluster, with the same bytes by the same number of threads.

    The checkpoint of each part is stored here: after a lost node or a kill of this process the training goes on from it. Of several
    `processes` a part is the whole training.
    """
    training = TrainingOnNode.of(request, processes, threads, log)
    checkpoint, known = work / CHECKPOINT, set[str]()
    seconds = photos = 0.0
    while True:
        found = [checkpoint.read_bytes()] if checkpoint.exists() else []
        if found and not known:
            log(f"{RESUMED} {checkpoint}")
        part = cluster.result(training, found, min(threads, max(1, cluster.most_processors())))
        for line in part.lines:
            if line not in known and not line.startswith(RESUMED):
                log(line)
            known.add(line)
        seconds, photos = seconds + part.seconds, photos + part.photos
        if part.result is None:
            write_bytes(checkpoint, part.checkpoint)
            continue
        for name, content in (part.files or {}).items():
            write_bytes(output / name, content)
        return replace(part.result, seconds=seconds, samples_a_second=photos / seconds if seconds else 0.0)
