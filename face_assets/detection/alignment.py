"""Alignment: the subject's face of each photo, detected once and stored in the crop store."""

import multiprocessing
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from face_assets.core.batches import batched
from face_assets.core.cluster import Cluster, Folder
from face_assets.core.devices import Device, chosen
from face_assets.core.files import read_content
from face_assets.core.progress import Progress
from face_assets.dataset.decoding import UnusablePhoto, decode
from face_assets.dataset.file_kinds import NOW_READ
from face_assets.detection.crop_keys import MOST_FACES, crop_keys, other_keys
from face_assets.detection.detector import DetectorConfig, FaceDetector, Pixels, enough
from face_assets.detection.device_networks import networks_for, open_detector_on
from face_assets.detection.faces import Faces
from face_assets.detection.opened_detector import open_detector
from face_assets.storage.content_store import ContentStore, Entry

BATCH = 32
BATCHES_A_WORKER = 8
WORTH_PROCESSES = 200
MOST_THREADS = 2

T = TypeVar("T")
Batch = Sequence[tuple[str, Path, bool]]
"""Photos: md5, file, and true where all faces are stored."""

_worker = threading.local()


def align_photos(
    photos: Mapping[str, Path],
    store: ContentStore,
    networks: Path,
    config: DetectorConfig,
    max_megapixels: float,
    workers: int,
    progress: Progress,
    every_face: Collection[str] = (),
    cluster: Cluster | None = None,
) -> None:
    """Detects and crops the photos (md5 → file) and stores the results under the md5; `progress` is called with (done, all).

    Facts: {"status": "face" | "no_face" | "unusable", "reason", "faces", "box", "probability", "landmarks", "width", "height"},
    "quarter_turns" of a photo that is turned (as in Faces), and "megapixels" of a photo that is unusable for them; blob: the crop, uint8
    (image_size, image_size, 3) RGB. Of the photos in `every_face` up to MOST_FACES faces are stored, each in an entry of its own
    (`crop_keys`). An unusable photo never stops the rest; temporary failures, as of the disk or of memory, are raised and store no facts.
    With a cluster its nodes do the work of this machine's `workers`, with the same bytes.
    """
    few = workers == 1 or len(photos) < WORTH_PROCESSES
    workers = min(workers, MOST_THREADS) if few else workers
    several, done = {*every_face}, 0
    asked = [(md5, path, md5 in several) for md5, path in sorted(photos.items())]
    with store.kept_open(), ExitStack() as stack:
        if cluster:
            work = AlignedOnNode(Folder.of(networks), config, max_megapixels)
            results = cluster.results(work, map(_contents, batched(asked, BATCH)))
        else:
            device = chosen()
            opened = stack.enter_context(networks_for(device, networks, config))
            pool = stack.enter_context(worker_pool(few, workers))
            align = partial(pool.submit, partial(_align, device, opened, config, max_megapixels))
            results = in_order(align, batched(asked, min(BATCH, -(-len(photos) // workers) or 1)), BATCHES_A_WORKER * workers)
        for entries in results:
            store.put(entries)
            done += sum(entry.key in photos for entry in entries)
            progress(done, len(photos))
    store.publish()


@dataclass(frozen=True)
class AlignedOnNode:
    """Alignment of batches of photos, (md5, content, true where all faces are stored) each, on a node of the cluster."""

    networks: Folder
    config: DetectorConfig
    max_megapixels: float

    def open(self) -> Callable[[list[tuple[str, bytes, bool]]], list[Entry]]:
        """The function from a batch to the crop store's entries."""
        with self.networks.written() as folder:
            detector = open_detector(folder, self.config)

        def align(batch: list[tuple[str, bytes, bool]]) -> list[Entry]:
            several = {md5 for md5, _, is_every in batch if is_every}
            return align_batch(detector, ((md5, content) for md5, content, _ in batch), self.max_megapixels, several)

        return align


def _contents(batch: Batch) -> list[tuple[str, bytes, bool]]:
    return [(md5, read_content(path, md5), is_every) for md5, path, is_every in batch]


def unaligned(
    store: ContentStore, md5s: Iterable[str], max_megapixels: float, every_face: Collection[str] = ()
) -> tuple[list[str], dict[str, dict[str, Any]]]:
    """The photos without a result, each once and in their order, and the facts of the others.

    every_face: photos that count as such where their first choice alone is stored, although they have several faces. Removes the results of
    photos that were rejected under a lower limit, or for a format that is read now.
    """
    wanted = list(dict.fromkeys(md5s))
    facts = store.facts(wanted)
    outdated = {md5 for md5, fact in facts.items() if "megapixels" in fact and fact["megapixels"] <= max_megapixels}
    outdated |= {md5 for md5, fact in facts.items() if fact.get("reason") in NOW_READ}
    if outdated:
        store.drop(outdated)
        facts = {md5: fact for md5, fact in facts.items() if md5 not in outdated}
    if every_face:
        several = {*every_face}
        others = other_keys({md5: fact for md5, fact in facts.items() if md5 in several})
        absent = set(store.missing(key for keys in others.values() for key in keys))
        facts = {md5: fact for md5, fact in facts.items() if absent.isdisjoint(others.get(md5, ()))}
    return [md5 for md5 in wanted if md5 not in facts], facts


def within(facts: Mapping[str, dict[str, Any]], max_megapixels: float) -> dict[str, dict[str, Any]]:
    """The facts of photos under the present limit: a larger one is unusable, whatever limit it was aligned under."""
    found = dict(facts)
    for md5, fact in facts.items():
        megapixels = fact["megapixels"] if "megapixels" in fact else fact.get("width", 0) * fact.get("height", 0) / 1e6
        if megapixels > max_megapixels:
            error = UnusablePhoto.too_large(megapixels, max_megapixels)
            found[md5] = {"status": "unusable", "reason": error.reason, "faces": 0, "megapixels": megapixels}
    return found


def worker_pool(few: bool, workers: int) -> Executor:
    """Threads for few photos, since they start at once; else processes, since threads wait for one another."""
    if few:
        return ThreadPoolExecutor(workers)
    # spawn: a fork of a process with OpenVINO's threads may hang
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


def in_order(begin: "Callable[[T], Future[list[Entry]]]", batches: Iterable[T], most: int) -> Iterator[list[Entry]]:
    """Yields the results in the order of their batches; at most `most` batches are running or waiting to be read."""
    under_way: deque[Future[list[Entry]]] = deque()
    try:
        for batch in batches:
            under_way.append(begin(batch))
            if len(under_way) == most:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        for future in under_way:
            future.cancel()


def _align(device: Device, networks: Path, config: DetectorConfig, max_megapixels: float, batch: Batch) -> list[Entry]:
    """The entries of a batch, by this worker's own detector."""
    if not hasattr(_worker, "detector"):
        _worker.detector = open_detector_on(device, networks, config)
    several = {md5 for md5, _, is_every in batch if is_every}
    return align_batch(_worker.detector, ((md5, read_content(path, md5)) for md5, path, _ in batch), max_megapixels, several)


def align_batch(
    detector: FaceDetector, photos: Iterable[tuple[str, bytes]], max_megapixels: float, every_face: Collection[str] = ()
) -> list[Entry]:
    """The crop store's entries for photos, (md5, content) each, about a megapixel of them in memory at a time.

    every_face: photos of which up to MOST_FACES faces get an entry, in the detector's order, instead of the first; a photo without a face
    has an entry, too.
    """
    entries: list[Entry] = []
    waiting: dict[str, Pixels] = {}

    def search() -> None:
        found = detector.detect_all(list(waiting.values()))
        for (md5, image), faces in zip(waiting.items(), found, strict=True):
            entries.extend(_entries(detector, md5, image, faces, MOST_FACES if md5 in every_face else 1))
        waiting.clear()

    for md5, content in photos:
        try:
            waiting[md5] = decode(content, max_megapixels)
        except UnusablePhoto as error:
            size = {"megapixels": error.megapixels} if error.megapixels else {}
            entries.append(Entry(md5, {"status": "unusable", "reason": error.reason, "faces": 0, **size}))
        if enough(waiting.values()):
            search()
    search()
    return entries


def _entries(detector: FaceDetector, md5: str, image: Pixels, faces: Faces, most: int) -> Iterator[Entry]:
    size: dict[str, Any] = {"height": image.shape[0], "width": image.shape[1]}
    if faces.quarter_turns:
        size["quarter_turns"] = faces.quarter_turns
    if not len(faces.boxes):
        yield Entry(md5, {"status": "no_face", "reason": "no face found", "faces": 0, **size})
    for rank, key in enumerate(crop_keys(md5, len(faces.boxes))[:most]):
        facts = {
            "status": "face",
            "reason": "",
            "faces": len(faces.boxes),
            "box": [round(float(value), 3) for value in faces.boxes[rank]],
            "probability": round(float(faces.probabilities[rank]), 6),
            "landmarks": [[round(float(x), 3), round(float(y), 3)] for x, y in faces.landmarks[rank]],
            **size,
        }
        yield Entry(key, facts, detector.crop(image, faces, rank).tobytes())
