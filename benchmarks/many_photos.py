"""Lists of many photos in many pointers, with stored facts and vectors in place of photos.

`python -m benchmarks.many_photos NUMBER POINTERS`: no photo is read, and nothing is detected or trained. The facts that an inspection would
store are there before, and vectors are random. Processor seconds, and the most memory held until then, are printed after each step.
"""

import hashlib
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from face_assets.biometrics.recognition import operating_point, recognition
from face_assets.biometrics.verification import evaluate_labelled
from face_assets.core.batches import batched
from face_assets.core.fingerprint import fingerprint
from face_assets.core.params import Params
from face_assets.core.settings import Settings
from face_assets.core.step_versions import step_version
from face_assets.core.tables import write_rows
from face_assets.dataset.manifest import Manifest
from face_assets.dataset.steps import version_dataset
from face_assets.evaluation.hardest_pairs import hardest_pairs
from face_assets.evaluation.labelled_photos import read_labelled
from face_assets.gallery.enrolment import templates_of
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
    workspace = Workspace(Settings(home=folder / "home", repo=str(folder / "data")))
    commits = [_commit(folder / "data", number, pointers, changed) for changed in (False, True)]
    store = workspace.home.inspections(fingerprint(Params().photos.max_megapixels, step_version("inspection")))
    everything = (file.md5 for part in range(pointers) for changed in (False, True) for file in _files(number, pointers, part, changed))
    for md5s in batched(everything, 10_000):
        store.put(Entry(md5, {"format": "JPEG", "width": 250, "height": 250, "mode": "RGB", "hash": md5[:16]}) for md5 in md5s)
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
    rows = ((photo.path, photo.md5, photo.identity, photo.split, "face", photo.md5) for photo in photos)
    write_rows(folder / "faces.csv", ("path", "md5", "identity", "split", "status", "crop"), rows)
    identities = [photo.identity for photo in photos]
    del photos
    clock.step("faces listed (every photo has one)")
    splits = {split: read_labelled(Artifact("aligned_faces", "", folder, {}), split) for split in ("test", "validation")}
    seen = {split: some.seen(_vectors(len(some.faces))) for split, some in splits.items()}
    clock.step(f"labelled photos of the evaluation ({len(splits['test'].paths):,} test)")
    templates_of(_vectors(len(identities)), identities)
    del identities
    clock.step("gallery: templates of everybody")
    asked = Params().evaluation
    point = operating_point((seen["validation"], seen["test"]), asked.far, asked.fpir, seen["test"].count, 0)
    recognition(seen["test"], point)
    evaluate_labelled(seen["test"], asked.far, 0)
    hardest_pairs(seen["test"].embeddings, seen["test"].found_people, splits["test"].paths)
    clock.step("evaluation: all pairs, hardest pairs")


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


def _vectors(count: int) -> np.ndarray:
    vectors = np.random.default_rng(0).standard_normal((count, SIZE), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        measure(int(sys.argv[1]), int(sys.argv[2]), Path(made))
