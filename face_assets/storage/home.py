"""The state directory: one folder with all state of this machine, and the stores in it."""

import os
from dataclasses import dataclass
from pathlib import Path

from face_assets.core.yaml_io import expanded
from face_assets.storage.artifacts import ArtifactStore
from face_assets.storage.content_store import ContentStore
from face_assets.storage.linked_files import FOLDER, LinkedFiles
from face_assets.storage.shared_store import SharedStore, open_shared

DAGSTER_HOME = "FACE_ASSETS_DAGSTER_HOME"


@dataclass(frozen=True)
class StoreFolder:
    """A folder of content stores. shared: the store that several machines share, and the folder's name there, where there is one."""

    path: Path
    shared: tuple[SharedStore, str] | None = None

    def open(self, name: str) -> ContentStore:
        """The content store of a name, with the rows of all machines where there is a shared store."""
        path = self.path / f"{name}.sqlite"
        if self.shared is None:
            return ContentStore(path)
        store, folder = self.shared
        return store.content_store(path, f"{folder}/{name}")


class Home:
    """Paths and stores below FACE_ASSETS_HOME. docs/how-to/backup.md lists what cannot be made again from the data repository."""

    def __init__(self, root: Path, store: str | None = None):
        """store: address of the store that several machines share."""
        self.root = root
        self.shared = open_shared(store, root)
        self.linked = LinkedFiles(root / FOLDER)
        self.artifacts = ArtifactStore(root / "artifacts", self.shared, self.linked)

    @property
    def dagster(self) -> Path:
        """DAGSTER_HOME: dagster.yaml, and on a platform of one machine the event log and the schedules."""
        return expanded(os.environ.get(DAGSTER_HOME) or self.root / "dagster")

    @property
    def artifact_references(self) -> Path:
        """References to the artifact of each asset and commit."""
        return self.root / "handles"

    @property
    def training(self) -> Path:
        """Checkpoints of unfinished trainings."""
        return self.root / "training"

    @property
    def training_decisions(self) -> Path:
        """Decisions to train or to keep an embedder, for commits that are not released yet."""
        return self.root / "training-decisions"

    @property
    def detector(self) -> Path:
        """The detector's networks, exported once."""
        return self.root / "detector"

    @property
    def serving(self) -> Path:
        """The embedded server: its model repository, state and logs."""
        return self.root / "serving"

    @property
    def traffic(self) -> Path:
        """Feature histograms of the traffic, written by the server."""
        return self.serving / "traffic"

    @property
    def record(self) -> Path:
        """The record of use, written by the server."""
        return self.serving / "record"

    @property
    def monitoring(self) -> Path:
        """Reports of drift."""
        return self.root / "monitoring"

    @property
    def logs(self) -> Path:
        """Logs of the processes that `face-assets up` and `run` started."""
        return self.root / "logs"

    def crops(self, detector: str) -> ContentStore:
        """The crop store of a detector's fingerprint: key = that of the crop."""
        return self.stores("crops").open(detector)

    def inspections(self, version: str) -> ContentStore:
        """The store of inspected photo files: key = the photo's md5."""
        return self.stores("inspections").open(version)

    def embeddings(self, engine: str) -> ContentStore:
        """Embeddings by an engine's fingerprint: key = that of the crop."""
        return self.stores("embeddings").open(engine)

    def features(self, crops: str) -> StoreFolder:
        """Stored trunk features of the crops of a detector and version, a content store for each trunk."""
        return self.stores(f"features/{crops}")

    def stores(self, folder: str) -> StoreFolder:
        """A folder of content stores, by its path below the state directory."""
        return StoreFolder(self.root / folder, (self.shared, folder) if self.shared else None)
