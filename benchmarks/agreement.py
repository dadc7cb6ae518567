"""On how many photos the detector finds what facenet-pytorch's MTCNN finds."""

import random
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.reference import Floats, Reference
from benchmarks.table import Row
from face_assets.core.batches import batched
from face_assets.dataset.decoding import decode
from face_assets.dataset.photo_survey import survey
from face_assets.detection.detector import DetectorConfig
from face_assets.detection.facenet_pytorch import export_detector
from face_assets.detection.mtcnn import Detector

PHOTOS, BATCH = 1000, 16
OVERLAP, PIXELS = 0.98, 1.5  # the subject's box and its landmarks


def run(photos: Path) -> list[Row]:
    """A sample of the photos; those without a face to the reference count neither way, unless we find one."""
    files = [photos / path for path in survey(photos).files]
    return [agreement(random.Random(0).sample(files, min(PHOTOS, len(files))))]


def agreement(files: list[Path]) -> Row:
    """Of these photos."""
    reference = Reference()
    with tempfile.TemporaryDirectory() as folder:
        export_detector(Path(folder))
        detector = Detector(Path(folder), DetectorConfig())
    asked = same = crops = 0
    least, most = 1.0, 0.0
    for batch in batched(files, BATCH):
        contents = [path.read_bytes() for path in batch]
        images = [decode(content) for content in contents]
        for content, image, faces in zip(contents, images, detector.detect_all(images), strict=True):
            theirs = reference.find(content)
            if theirs is None and not len(faces.boxes):
                continue
            asked += 1
            if theirs is None or not len(faces.boxes):
                continue
            shared, apart = overlap(theirs.box, faces.boxes[0]), float(np.abs(theirs.landmarks - faces.landmarks[0]).max())
            least, most = min(least, shared), max(most, apart)
            same += shared >= OVERLAP and apart <= PIXELS
            crops += bool((detector.crop(image, faces) == theirs.crop).all())
    note = f"of {asked:,}; overlap from {least:.6f}, landmarks within {most:.4f} px, {crops:,} crops the same to the bit"
    return Row("photos with the reference's face", same / asked, 1.0, "of all", 0.995, note)


def overlap(one: Floats, other: Floats) -> float:
    """Of two boxes: intersection over union."""
    first, last = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    shared = np.clip(last - first, 0, None).prod()
    return float(shared / ((one[2:] - one[:2]).prod() + (other[2:] - other[:2]).prod() - shared))
