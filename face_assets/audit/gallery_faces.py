"""The faces of gallery.dvc's photos."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from face_assets.audit.subjects import agreed_subjects, choosing_embedder, with_subjects
from face_assets.core.params import Params
from face_assets.dataset import duplicates
from face_assets.dataset.manifest import make_manifest
from face_assets.dataset.steps import left_out_text
from face_assets.detection.detectors import consensus_photos
from face_assets.detection.steps import Face, align
from face_assets.registry.workspace import Log, Workspace

GALLERY = "gallery"
LISTED = 20


@dataclass(frozen=True)
class GalleryFaces:
    """Photos to enrol. without: people without a usable one; repeated: paths left out as duplicates; notes: the manifest's."""

    faces: list[Face]
    without: list[str]
    repeated: list[str]
    notes: dict[str, Any]


_found: dict[tuple[Any, ...], GalleryFaces] = {}


def gallery_faces(workspace: Workspace, commit: str, params: Params, known: Iterable[str], log: Log) -> GalleryFaces:
    """The faces of gallery.dvc's subjects, detected where they are new. known: people of the photos, whose spelling of a name is taken.

    What one step of a run found is kept for the one that asks next.
    """
    people = frozenset(known)
    key = (workspace.settings.home, workspace.repository.source, commit, people)
    found = _found.pop(key, None)
    if found is None:
        found = _find(workspace, commit, params, people, log)
        _found.clear()
        _found[key] = found
    return found


def _find(workspace: Workspace, commit: str, params: Params, known: Collection[str], log: Log) -> GalleryFaces:
    tracked = workspace.repository.files(commit, GALLERY)
    manifest = make_manifest(((file.path, file.md5) for file in tracked), params.split, known)
    listed = manifest.photos
    notes = manifest.notes()
    if left_out_text(notes) or manifest.spellings:
        spelled = "".join(f"; {name!r} for {folders}" for name, folders in notes["spellings"].items())
        log(f"gallery.dvc: {len(listed):,} photos{left_out_text(notes)}{spelled}")
    photos = duplicates.once(listed)
    repeated = sorted({photo.path for photo in listed} - {photo.path for photo in photos})
    if repeated:
        log(f"{len(repeated):,} photos of gallery.dvc are left out, the same file stands there twice: {', '.join(repeated[:LISTED])}")
    md5s = [photo.md5 for photo in photos]
    several = consensus_photos(params.detector, ((photo.md5, photo.identity) for photo in photos))
    facts = align(workspace, commit, GALLERY, md5s, params.detector, params.photos.max_megapixels, log, several).facts
    faces = [
        Face(photo.path, photo.md5, photo.identity, photo.split, photo.md5) for photo in photos if facts[photo.md5]["status"] == "face"
    ]
    without = sorted({photo.identity for photo in listed} - {face.identity for face in faces})
    chooser = choosing_embedder(workspace, commit)
    subjects = agreed_subjects(workspace, chooser.embedding, faces, log) if chooser else []
    notes |= {"subjects_by_agreement": len(subjects)}
    return GalleryFaces(with_subjects(faces, subjects), without, repeated, notes)
