"""Inspection of photo files: readability, size, and a hash that near duplicates share."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from face_assets.core.batches import batched
from face_assets.core.files import read_content
from face_assets.core.progress import Progress
from face_assets.dataset.decoding import UnusablePhoto, inspect
from face_assets.storage.content_store import ContentStore, Entry

BATCH = 512


def inspect_photos(photos: Mapping[str, Path], store: ContentStore, max_megapixels: float, workers: int, progress: Progress) -> None:
    """Inspects the photos (md5 → file) and stores the facts under the md5; `progress` is called with (done, all).

    Facts: {"format", "width", "height", "mode", "hash": 16 hex digits} or {"problem": sentence}. A problem is one of the bytes:
    temporary failures, as of the disk or of memory, are raised and store no facts.
    """

    def one(md5: str) -> Entry:
        try:
            found = inspect(read_content(photos[md5], md5), max_megapixels)
        except UnusablePhoto as error:
            return Entry(md5, {"problem": error.reason})
        facts = {"format": found.format, "width": found.width, "height": found.height, "mode": found.mode, "hash": f"{found.hash:016x}"}
        return Entry(md5, facts)

    done = 0
    with ThreadPoolExecutor(workers) as pool:
        for batch in batched(sorted(photos), BATCH):
            store.put(pool.map(one, batch))
            done += len(batch)
            progress(done, len(photos))
    store.publish()
