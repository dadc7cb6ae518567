"""Figures by group on real people, grouped by what their photos show: sharpness, light, how many photos there are, and five people.

    python -m benchmarks.groups_on_real_faces FOLDER [CACHE]

FOLDER holds lfw/ and weights/; what is measured of each photo is kept in CACHE, with groups.csv, as evaluation.attributes reads it.
"""

import csv
import hashlib
import multiprocessing
import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.drift_on_real_faces import MOST_OF_A_PERSON, engines
from face_assets.biometrics.labelled import Labelled
from face_assets.biometrics.verification import evaluate
from face_assets.core.params import Split
from face_assets.core.settings import usable_cores
from face_assets.dataset.decoding import decode
from face_assets.dataset.manifest import make_manifest
from face_assets.dataset.photo_survey import survey
from face_assets.detection.detector import DetectorConfig
from face_assets.detection.mtcnn import Detector
from face_assets.embedding.engine import Engine
from face_assets.evaluation.feature_histograms import appearance
from face_assets.evaluation.group_figures import groups_markdown
from face_assets.evaluation.groups import by_group, gaps, read_attributes, to_json

FAR, FARS = 1e-3, (1e-3, 1e-4)
Floats = npt.NDArray[np.float32]


def main() -> None:
    """Prints a table an attribute."""
    data, cache = Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else Path(tempfile.mkdtemp())
    photos = test_photos(data)
    looks, vectors = seen(data, photos, cache)
    there = np.isfinite(looks[:, 0])
    photos, looks, vectors = [photo for photo, is_there in zip(photos, there, strict=True) if is_there], looks[there], vectors[there]
    write_attributes(cache / "groups.csv", photos, looks)
    people = np.unique([photo.parent.name for photo in photos], return_inverse=True)[1]
    seen_photos = Labelled(people, np.arange(len(people)), vectors)
    whole = evaluate(vectors, people, FAR, seed=0)
    threshold = whole.tar_at(FAR).threshold
    assert threshold is not None
    print(f"{len(photos):,} photos of {people.max() + 1:,} test people; threshold {threshold:.4f}, AUC {whole.auc:.5f}\n")
    _, attributes = read_attributes((cache / "groups.csv").read_bytes(), "groups.csv")
    found = {
        name: by_group(seen_photos, [groups.get(_key(photo), "") for photo in photos], threshold, FARS, seed=0)
        for name, groups in attributes.items()
    }
    print(groups_markdown(to_json(found)))
    for gap, said in gaps(found):
        print(f"{said}: {gap.gap:.4f} apart")


def test_photos(data: Path) -> list[Path]:
    """Those of the people whom the platform would keep for the test, few of a person of whom there are hundreds."""
    folder = data / "lfw"
    manifest = make_manifest(((path, hashlib.md5(path.encode()).hexdigest()) for path in map(str, survey(folder).files)), Split())
    counted: Counter[str] = Counter()
    kept = []
    for photo in manifest.of("test"):
        counted[photo.identity] += 1
        if counted[photo.identity] <= MOST_OF_A_PERSON:
            kept.append(folder / photo.path)
    return kept


def write_attributes(file: Path, photos: list[Path], looks: Floats) -> None:
    """The groups of each photo. looks: (n, 2), brightness and sharpness of the face; the darker and the softer half have the names."""
    dark, soft = (column < np.median(column) for column in looks.T)
    photos_of = Counter(photo.parent.name for photo in photos)
    five = [person for person, number in sorted(photos_of.items()) if number >= 2][:5]
    with open(file, "w", encoding="utf-8", newline="") as output:
        rows = csv.writer(output)
        rows.writerow(("photo", "sharpness", "light", "photos", "five"))
        for photo, is_soft, is_dark in zip(photos, soft, dark, strict=True):
            number = photos_of[photo.parent.name]
            many = str(number) if number < 4 else "4 or more"
            is_one = photo.parent.name in five
            rows.writerow(
                (_key(photo), "soft" if is_soft else "sharp", "dark" if is_dark else "light", many, "the five" if is_one else "others")
            )


def _key(photo: Path) -> str:
    return f"{photo.parent.name}/{photo.name}"


def seen(data: Path, photos: list[Path], cache: Path) -> tuple[Floats, Floats]:
    """Brightness and sharpness (n, 2), NaN where there is no face, and embeddings (n, 128)."""
    networks, engine = engines(data, cache)
    file = cache / f"groups-{len(photos)}.npy"
    if not file.is_file():
        with ProcessPoolExecutor(usable_cores(), multiprocessing.get_context("spawn"), _start, (networks, engine)) as pool:
            np.save(file, np.stack(list(pool.map(_look, photos, chunksize=16))))
    values = np.load(file)
    return values[:, :2], values[:, 2:]


class _Worker:
    detector: Detector
    engine: Engine


def _start(networks: Path, engine: Path) -> None:
    _Worker.detector = Detector(networks, DetectorConfig(choose="most_central"), threads=1)
    _Worker.engine = Engine(engine / "embedder.xml", "f32", 1)


def _look(photo: Path) -> Floats:
    image = decode(photo.read_bytes())
    faces = _Worker.detector.detect(image)
    if not len(faces.boxes):
        return np.full(130, np.nan, np.float32)
    crops = _Worker.detector.crop(image, faces)[None]
    brightness, sharpness, _ = appearance(crops)
    return np.concatenate([brightness, sharpness, _Worker.engine.embed(crops)[0]]).astype(np.float32)


if __name__ == "__main__":
    main()
