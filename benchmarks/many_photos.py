"""Lists of many photos in many pointers, with stored facts and vectors in place of photos.

`python -m benchmarks.many_photos NUMBER POINTERS [FOLDER]`: no photo is read, and nothing is detected or trained. The facts that an
inspection would store are there before, and a photo's vector is drawn by its number. Processor seconds, and the most memory held until
then, are printed after each step. FOLDER: in place of the system's for temporary files.
"""

import hashlib
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from face_assets.biometrics.impostor_scores import impostor_scores
from face_assets.biometrics.recognition import operating_point, recognition
from face_assets.biometrics.verification import evaluate_labelled
from face_assets.core.fingerprint import fingerprint
from face_assets.core.params import Params
from face_assets.core.settings import Settings
from face_assets.core.step_versions import step_version
from face_assets.core.tables import write_rows
from face_assets.dataset.manifest import Manifest
from face_assets.dataset.steps import version_dataset
from face_assets.detection.steps import faces_in_columns
from face_assets.evaluation.hardest_pairs import hardest_pairs
from face_assets.evaluation.labelled_photos import read_labelled
from face_assets.gallery.enrolled_photos import write_enrolled
from face_assets.gallery.enrolment import calibrate, enrolled_from, identification_figures, write_gallery
from face_assets.gallery.probes import probes_of
from face_assets.registry.availability import missing_bytes
from face_assets.registry.git import git
from face_assets.registry.listing import TrackedFile, listing_of
from face_assets.registry.pointer import pointer_to
from face_assets.registry.watch import inputs_of
from face_assets.registry.workspace import Workspace
from face_assets.storage.artifacts import Artifact
from face_assets.storage.content_store import Entry

PHOTOS_A_PERSON = 5
SIZE = 128
"""Values of a vector."""
ROWS_A_BLOCK = 1000
IDENTITY = {f"GIT_{who}_{what}": "bench@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


class Clock:
    """Processor seconds since the last step, and the most megabytes held until now."""

    def __init__(self) -> None:
        self.at = time.process_time()

    def step(self, name: str) -> None:
        """Prints what a step took."""
        seconds, megabytes = time.process_time() - self.at, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        print(f"{name:<48} {seconds:9.2f} s {megabytes:9,.0f} MB", flush=True)
        self.at = time.process_time()


def measure(number: int, pointers: int, folder: Path) -> None:
    """Prints a line for each step."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:  # whose memory is not measured
        commits = pool.submit(_prepare, number, pointers, folder).result()
    workspace = _workspace(folder)
    workspace.repository.refresh()
    clock = Clock()
    for name, commit in zip(("first commit", "one pointer changed"), commits, strict=True):
        inputs_of(workspace.repository, commit)
        clock.step(f"inputs of a commit for the sensor, {name}")
        workspace.repository.pointer(commit, "photos")
        clock.step(f"version of photos/, {name}")
        dataset = version_dataset(workspace, commit, lambda line: None)
        clock.step(f"dataset_version, {name}")
    missing_bytes(workspace.repository, commits[1], ("photos",))
    clock = Clock()
    photos = Manifest.read(dataset.directory / "manifest.csv").photos
    clock.step("manifest read")
    rows = ((photo.path, photo.md5, photo.identity, photo.split, "face", str(row)) for row, photo in enumerate(photos))
    write_rows(folder / "faces.csv", ("path", "md5", "identity", "split", "status", "crop"), rows)
    del photos
    clock.step("faces listed (every photo has one)")
    aligned = Artifact("aligned_faces", "", folder, {})
    _gallery(aligned, folder, clock)
    splits = {split: read_labelled(aligned, split) for split in ("test", "validation")}
    seen = {split: some.seen(_vectors([face.crop_key for face in some.faces])) for split, some in splits.items()}
    clock.step(f"labelled photos of the evaluation ({len(splits['test'].paths):,} test)")
    asked = Params().evaluation
    point = operating_point((seen["validation"], seen["test"]), asked.far, asked.fpir, seen["test"].count, 0)
    recognition(seen["test"], point)
    evaluate_labelled(seen["test"], asked.far, 0)
    hardest_pairs(seen["test"].embeddings, seen["test"].found_people, splits["test"].paths)
    clock.step("evaluation: all pairs, hardest pairs")


def _workspace(folder: Path) -> Workspace:
    return Workspace(Settings(home=folder / "home", repo=str(folder / "data")))


def _prepare(number: int, pointers: int, folder: Path) -> list[str]:
    """Makes two commits, and the facts of their photos."""
    commits = [_commit(folder / "data", number, pointers, changed) for changed in (False, True)]
    store = _workspace(folder).home.inspections(fingerprint(Params().photos.max_megapixels, step_version("inspection")))
    md5s = b"".join("".join(file.md5 for file in _files(number, pointers, part, True)).encode() for part in range(pointers))
    ordered = np.sort(np.frombuffer(md5s, "S32"))  # which SQLite takes in faster
    for start in range(0, len(ordered), 10_000):
        part = [md5.decode() for md5 in ordered[start : start + 10_000].tolist()]
        store.put(Entry(md5, {"format": "JPEG", "width": 250, "height": 250, "mode": "RGB", "hash": md5[:16]}) for md5 in part)
    return commits


def _gallery(aligned: Artifact, folder: Path, clock: Clock) -> None:
    """The step face_gallery with everybody enrolled, on vectors that are there."""
    faces = faces_in_columns(aligned)
    clock.step("gallery: faces read")
    enrolled = enrolled_from(faces, _vectors, folder)
    clock.step(f"gallery: templates of {len(enrolled.names):,} people")
    write_gallery(enrolled, folder)
    write_enrolled(faces, folder)
    clock.step("gallery: written")
    searched = probes_of(faces_in_columns(aligned, "test"), len(enrolled.names))
    inside = searched.are_among(faces)
    del faces
    people, vectors = [face.identity for face in searched.faces], _vectors([face.crop_key for face in searched.faces])
    clock.step(f"gallery: {len(people):,} photos to search")
    asked = Params().evaluation
    known = impostor_scores("random vectors")
    calibrated = calibrate(enrolled, vectors, people, asked.fpir, asked.threshold_confidence, known)
    clock.step("gallery: threshold")
    identification_figures(enrolled, vectors, people, inside, calibrated.held_out)
    clock.step("gallery: figures")


def _files(number: int, pointers: int, part: int, changed: bool) -> list[TrackedFile]:
    """The files of a pointer; the first one has a photo more where it is changed."""
    per_part = number // pointers
    photos = range(part * per_part, (part + 1) * per_part)
    files = [
        TrackedFile(f"person_{photo // PHOTOS_A_PERSON:07}/{photo:09}.jpg", hashlib.md5(b"%d" % photo).hexdigest()) for photo in photos
    ]
    return [*files, TrackedFile("person_0000000/new.jpg", hashlib.md5(b"new").hexdigest())] if changed and part == 0 else files


def _commit(data: Path, number: int, pointers: int, changed: bool) -> str:
    """A commit with the pointers, whose listings are in the clone's cache and whose photos are nowhere."""
    if not changed:
        git("init", "-q", "-b", "main", data)
        (data / ".dvc").mkdir()
        (data / ".dvc" / "config").write_text("[core]\n    remote = storage\n['remote \"storage\"']\n    url = /nowhere\n")
        (data / "params.yaml").write_text("train: {epochs: 1}\n")
        (data / "photos").mkdir()
    for part in range(1 if changed else pointers):
        files = _files(number, pointers, part, changed)
        listing = listing_of(files)
        md5 = hashlib.md5(listing).hexdigest()
        kept = data / ".dvc" / "cache" / "files" / "md5" / md5[:2] / f"{md5[2:]}.dir"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(listing)
        name = f"photos/part_{part:05}"
        (data / f"{name}.dvc").write_bytes(pointer_to(None, name, f"{md5}.dir", 10_000 * len(files), len(files), name))
    git("add", "-A", "--", ".dvc/config", "params.yaml", "photos", cwd=data)
    git("commit", "-q", "-m", "Change photos", cwd=data, env=IDENTITY)
    return git("rev-parse", "HEAD", cwd=data).decode().strip()


def _vectors(keys: Sequence[str]) -> np.ndarray:
    """Vectors float32 (n, SIZE) of unit length by the photos' numbers. Those of a person are near each other."""
    rows = np.array([int(key) for key in keys], np.int64)
    vectors = _drawn(rows // PHOTOS_A_PERSON, 0) + np.float32(0.5) * _drawn(rows, 1)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _drawn(rows: np.ndarray, seed: int) -> np.ndarray:
    """Rows of a table of random numbers float32, which is made in blocks and never whole."""
    found = np.empty((len(rows), SIZE), np.float32)
    blocks, places = np.unique(rows // ROWS_A_BLOCK, return_inverse=True)
    order = np.argsort(places, kind="stable")
    for block, mine in zip(blocks, np.split(order, np.cumsum(np.bincount(places))[:-1]), strict=True):
        table = np.random.default_rng([seed, int(block)]).standard_normal((ROWS_A_BLOCK, SIZE), np.float32)
        found[mine] = table[rows[mine] % ROWS_A_BLOCK]
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[3] if len(sys.argv) > 3 else None) as made:
        measure(int(sys.argv[1]), int(sys.argv[2]), Path(made))
