"""Faces that a detector finds in degraded photos, stored by content: a photo is degraded and searched once for each detector."""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from face_assets.core.batches import batched
from face_assets.core.cluster import Folder, ray_cluster
from face_assets.core.degradations import row_name
from face_assets.core.errors import UserError
from face_assets.core.files import read_content
from face_assets.core.fingerprint import fingerprint
from face_assets.core.params import Detector
from face_assets.core.progress import progress_lines
from face_assets.core.step_versions import step_version
from face_assets.dataset.decoding import decode
from face_assets.dataset.steps import PHOTOS
from face_assets.detection.alignment import MOST_THREADS, in_order, worker_pool
from face_assets.detection.detector import DetectorConfig, FaceDetector
from face_assets.detection.detectors import crop_store, detector_config, detector_networks
from face_assets.detection.faces import Faces
from face_assets.detection.opened_detector import open_detector
from face_assets.evaluation.conditions import SIDE, FaceWindow, Pixels, degrade, face_window
from face_assets.registry.workspace import Log, Workspace
from face_assets.storage.content_store import Entry

WORTH_PROCESSES = 600
"""Windows to search from which on processes are started."""
JOBS_A_WORKER = 4
JOBS_A_NODE = 8

Condition = tuple[str, float | None]

_worker = threading.local()


@dataclass(frozen=True)
class Probe:
    """A photo to degrade, with its subject's box, x1 y1 x2 y2, and landmarks (5, 2) by the candidate's detector."""

    md5: str
    box: Sequence[float]
    landmarks: Sequence[Sequence[float]]

    def key(self, condition: Condition) -> str:
        """Key of the face in the crop store: the photo's md5, and a digest of all that decides the degraded pixels."""
        how = fingerprint(list(self.box), [list(point) for point in self.landmarks], step_version("degraded_faces"))
        return f"{self.md5}~{row_name(*condition).replace(' ', '-')}~{how}"


@dataclass(frozen=True)
class Job:
    """The conditions of a photo, by key, whose results are missing."""

    file: Path
    probe: Probe
    missing: Mapping[str, Condition]


def probes_of(workspace: Workspace, detector: Detector, crop_keys: Mapping[str, str]) -> list[Probe]:
    """Probes of photos whose crops are stored. crop_keys: by md5. Raises UserError where the crop store lacks one."""
    store = crop_store(workspace, detector)
    facts = store.facts(crop_keys.values())
    if lost := [md5 for md5, key in crop_keys.items() if key not in facts]:
        raise UserError(f"{store.path} lacks {len(lost):,} of {len(crop_keys):,} faces: align the faces of this commit again")
    return [Probe(md5, facts[key]["box"], facts[key]["landmarks"]) for md5, key in crop_keys.items()]


def degraded_faces(
    workspace: Workspace,
    commit: str,
    detector: Detector,
    max_megapixels: float,
    probes: Sequence[Probe],
    conditions: Sequence[Condition],
    log: Log,
) -> list[list[str | None]]:
    """Crop keys of the subjects' faces by `detector`, for each condition one for each probe; None where it finds none there.

    The subject is the face at the centre of the window. What is stored is not made again; a killed call resumes where it stopped.
    """
    store = crop_store(workspace, detector)
    keys = [[probe.key(condition) for probe in probes] for condition in conditions]
    missing = set(store.missing(key for row in keys for key in row))
    if missing:
        log(f"stress: degrading {len(probes):,} photos in {len(conditions)} ways, {len(missing):,} of them new")
        wanted = [(probe, {key: condition for condition in conditions if (key := probe.key(condition)) in missing}) for probe in probes]
        files = workspace.repository.locate(commit, PHOTOS, {probe.md5 for probe, some in wanted if some})
        jobs = [Job(files[probe.md5], probe, some) for probe, some in wanted if some]
        config = replace(detector_config(detector), choose="most_central")
        networks = detector_networks(workspace, detector)
        few, cores = len(missing) < WORTH_PROCESSES, workspace.settings.cores
        workers = min(cores, MOST_THREADS) if few else cores
        progress, done = progress_lines(log, "stress: searched", "degraded photos"), 0
        with store.kept_open(), ExitStack() as stack:
            if cluster := ray_cluster(log):
                work = DegradedOnNode(Folder.of(networks), config, max_megapixels)
                results = cluster.results(work, map(_contents, batched(jobs, JOBS_A_NODE)))
            else:
                pool = stack.enter_context(worker_pool(few or cores == 1, workers))
                search = partial(pool.submit, partial(_degrade_and_detect, networks, config, max_megapixels))
                results = in_order(search, jobs, JOBS_A_WORKER * workers)
            for entries in results:
                store.put(entries)
                done += len(entries)
                progress(done, len(missing))
        store.publish()
    facts = store.facts(key for row in keys for key in row)
    return [[key if facts[key]["status"] == "face" else None for key in row] for row in keys]


def _degrade_and_detect(networks: Path, config: DetectorConfig, max_megapixels: float, job: Job) -> list[Entry]:
    """The entries of a photo's missing conditions, by this worker's own detector."""
    if getattr(_worker, "config", None) != config:
        _worker.detector, _worker.config = open_detector(networks, config), config
    return _entries(_worker.detector, read_content(job.file, job.probe.md5), max_megapixels, job)


def _entries(detector: FaceDetector, content: bytes, max_megapixels: float, job: Job) -> list[Entry]:
    window = face_window(decode(content, max_megapixels), job.probe.box, job.probe.landmarks)
    return entries_of(detector, window, job.probe.md5, job.missing)


def _contents(jobs: list[Job]) -> list[tuple[Job, bytes]]:
    return [(job, read_content(job.file, job.probe.md5)) for job in jobs]


@dataclass(frozen=True)
class DegradedOnNode:
    """Jobs with their photos' bytes, done on a node of the cluster."""

    networks: Folder
    config: DetectorConfig
    max_megapixels: float

    def open(self) -> Callable[[list[tuple[Job, bytes]]], list[Entry]]:
        """The function from jobs to the crop store's entries."""
        with self.networks.written() as folder:
            detector = open_detector(folder, self.config)
        return lambda jobs: [entry for job, content in jobs for entry in _entries(detector, content, self.max_megapixels, job)]


def entries_of(detector: FaceDetector, window: FaceWindow, content: str, conditions: Mapping[str, Condition]) -> list[Entry]:
    """The crop store's entries for a window in several conditions, by key. content: the photo's md5."""
    degraded = [degrade(window, *condition, content) for condition in conditions.values()]
    found = detector.detect_all(degraded)
    return [_entry(detector, key, *one) for key, one in zip(conditions, zip(degraded, found, strict=True), strict=True)]


def _entry(detector: FaceDetector, key: str, pixels: Pixels, faces: Faces) -> Entry:
    facts: dict[str, Any] = {"faces": len(faces.boxes), "width": SIDE, "height": SIDE}
    if not len(faces.boxes) or not _is_central(faces.boxes[0].tolist()):
        return Entry(key, {"status": "no_face", "reason": "no face found where the subject is", **facts})
    facts |= {
        "status": "face",
        "reason": "",
        "box": [round(float(value), 3) for value in faces.boxes[0]],
        "probability": round(float(faces.probabilities[0]), 6),
        "landmarks": [[round(float(x), 3), round(float(y), 3)] for x, y in faces.landmarks[0]],
    }
    return Entry(key, facts, detector.crop(pixels, faces).tobytes())


def _is_central(box: Sequence[float]) -> bool:
    return box[0] <= SIDE / 2 <= box[2] and box[1] <= SIDE / 2 <= box[3]
