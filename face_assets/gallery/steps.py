"""The step face_gallery: templates of the enrolled people by one embedder, and the threshold of identification."""

from pathlib import Path
from typing import Any

from face_assets.audit.subjects import agreed_subjects, choosing_embedder, with_subjects
from face_assets.core.errors import RefusedError
from face_assets.core.fingerprint import fingerprint
from face_assets.core.params import Params
from face_assets.core.step_versions import step_version
from face_assets.dataset import duplicates
from face_assets.dataset.manifest import make_manifest
from face_assets.dataset.steps import left_out_text
from face_assets.detection.steps import Face, align, read_faces
from face_assets.embedding.vectors import served_vectors
from face_assets.registry.workspace import Log, Workspace
from face_assets.storage.artifacts import Artifact

GALLERY = "gallery"
LISTED = 20


def enroll(workspace: Workspace, commit: str, aligned: Artifact, evaluation: Artifact, exported: Artifact, log: Log) -> Artifact:
    """The gallery of the people of gallery.dvc, or of the photos without it, by the exported embedder."""
    params = workspace.params(commit)
    pointer = workspace.repository.pointer(commit, GALLERY)
    people = pointer.md5 if pointer else aligned.fingerprint
    threshold = evaluation.summary["verification_threshold"]
    chooser = choosing_embedder(workspace, commit) if pointer else None  # the photos' subjects are chosen by now
    decided_by = (params.evaluation.fpir, threshold, step_version("face_gallery"), *([chooser.fingerprint] if chooser else []))
    name = fingerprint(exported.fingerprint, people, aligned.fingerprint, *decided_by)

    def fill(directory: Path) -> dict[str, Any]:
        from face_assets.gallery import enrolment as gallery

        faces, without, left_out, notes = _enrolled(workspace, commit, params, aligned, log)
        if not faces:
            raise RefusedError(f"Nobody can be enrolled at commit {commit[:12]}: no photo there has a usable face.")
        embeddings = served_vectors(workspace, params, exported, [face.crop_key for face in faces], log)
        enrolled = gallery.templates_of(embeddings, [face.identity for face in faces])
        gallery.write_gallery(enrolled, directory)
        probes = read_faces(aligned, "test")
        people = [face.identity for face in probes]
        vectors = served_vectors(workspace, params, exported, [face.crop_key for face in probes], log)
        calibrated = gallery.calibrate(enrolled, vectors, people, params.evaluation.fpir, fallback=threshold)
        photos = {(face.identity, face.md5) for face in faces}
        inside = [(face.identity, face.md5) in photos for face in probes]
        figures = gallery.identification_figures(enrolled, vectors, people, inside, calibrated.threshold)
        return {
            "source": "gallery.dvc" if pointer else "photos.dvc",
            "people": len({face.identity for face in faces}),
            "photos": len(faces),
            "people_without_face": without,
            "left_out": len(left_out),
            "left_out_examples": left_out[:LISTED],
            "identification_threshold": calibrated.threshold,
            "identification_calibration": calibrated.to_json(),
            "identification": dict(figures),
            **notes,
        }

    return workspace.home.artifacts.make("face_gallery", name, fill)


def _enrolled(
    workspace: Workspace, commit: str, params: Params, aligned: Artifact, log: Log
) -> tuple[list[Face], list[str], list[str], dict[str, Any]]:
    """The photos to enrol, people without a usable one, photos left out as duplicates, and the manifest's notes."""
    if workspace.repository.pointer(commit, GALLERY) is None:
        return read_faces(aligned), [], [], {}
    tracked = workspace.repository.files(commit, GALLERY)
    known = {face.identity for face in read_faces(aligned)}
    manifest = make_manifest(((file.path, file.md5) for file in tracked), params.split, known)
    listed = manifest.photos
    notes = manifest.notes()
    if left_out_text(notes) or manifest.spellings:
        spelled = "".join(f"; {name!r} for {folders}" for name, folders in notes["spellings"].items())
        log(f"gallery.dvc: {len(listed):,} photos{left_out_text(notes)}{spelled}")
    photos = duplicates.once(listed)
    left_out = sorted({photo.path for photo in listed} - {photo.path for photo in photos})
    if left_out:
        log(f"{len(left_out):,} photos of gallery.dvc are left out, the same file stands there twice: {', '.join(left_out[:LISTED])}")
    md5s = [photo.md5 for photo in photos]
    facts = align(workspace, commit, GALLERY, md5s, params.detector, params.photos.max_megapixels, log).facts
    faces = [
        Face(photo.path, photo.md5, photo.identity, photo.split, photo.md5) for photo in photos if facts[photo.md5]["status"] == "face"
    ]
    chooser = choosing_embedder(workspace, commit)
    subjects = agreed_subjects(workspace, chooser.embedding, faces, log) if chooser else []
    faces, notes = with_subjects(faces, subjects), notes | {"subjects_by_agreement": len(subjects)}
    return faces, sorted({photo.identity for photo in listed} - {face.identity for face in faces}), left_out, notes
