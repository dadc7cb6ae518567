"""The photos that a gallery is made of: the folder that lists them, and those that the templates were computed from."""

import csv
from collections.abc import Iterable
from pathlib import Path

from face_assets.audit.gallery_faces import GALLERY
from face_assets.core.params import Split
from face_assets.core.tables import write_rows
from face_assets.dataset.manifest import FIELDS, make_manifest
from face_assets.dataset.steps import PHOTOS
from face_assets.detection.steps import Face
from face_assets.gallery.changes import Enrolment
from face_assets.registry.data_repository import DataRepository
from face_assets.storage.artifacts import Artifact

FILE = "enrolled.csv"


def source_of(repository: DataRepository, commit: str) -> str:
    """The tracked folder whose people are enrolled: the gallery, or the photos where there is none."""
    return GALLERY if repository.pointer(commit, GALLERY) else PHOTOS


def listed_people(repository: DataRepository, commit: str, split: Split, known: Iterable[str] = ()) -> Enrolment:
    """The people of a commit's gallery by their photos. known: spellings of names to keep. Raises UserError where the list is not to be
    had."""
    files = repository.files(commit, source_of(repository, commit))
    photos = make_manifest(((file.path, file.md5) for file in files), split, known).photos
    return Enrolment.of((photo.identity, photo.md5) for photo in photos)


def write_enrolled(faces: Iterable[Face], directory: Path) -> None:
    """Writes the photos that somebody is enrolled from."""
    write_rows(directory / FILE, (*FIELDS, "crop"), ((face.path, face.md5, face.identity, face.split, face.crop_key) for face in faces))


def read_enrolled(gallery: Artifact) -> list[Face]:
    """The photos that a gallery's templates are made of."""
    with open(gallery.directory / FILE, encoding="utf-8", newline="") as file:
        return [Face(row["path"], row["md5"], row["identity"], row["split"], row["crop"]) for row in csv.DictReader(file)]
