"""The step face_gallery: templates of the enrolled people by one embedder, and the threshold of identification."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from face_assets.audit.gallery_faces import GALLERY, LISTED, gallery_faces
from face_assets.audit.gallery_steps import left_out_of_gallery
from face_assets.audit.subjects import choosing_embedder
from face_assets.biometrics.impostor_scores import impostor_scores
from face_assets.core.errors import RefusedError
from face_assets.core.fingerprint import fingerprint
from face_assets.core.params import Params, Search
from face_assets.core.step_versions import step_version
from face_assets.detection.steps import Face, faces_in_columns, read_faces
from face_assets.embedding.vectors import served_vectors
from face_assets.gallery.enrolled_photos import write_enrolled
from face_assets.gallery.probes import probes_of
from face_assets.registry.workspace import Log, Workspace
from face_assets.storage.artifacts import Artifact

Floats = npt.NDArray[np.float32]


def enroll(
    workspace: Workspace, commit: str, aligned: Artifact, audited: Artifact, evaluation: Artifact, exported: Artifact, log: Log
) -> Artifact:
    """The gallery of the people of gallery.dvc, or of the photos without it, by the exported embedder.

    audited: of gallery_audit, whose photos that are left out are not enrolled.
    """
    params = workspace.params(commit)
    pointer = workspace.repository.pointer(commit, GALLERY)
    people = pointer.md5 if pointer else aligned.fingerprint
    weights = evaluation.summary["verification"]["weights"]
    asked = (params.evaluation.fpir, params.evaluation.threshold_confidence)
    suspects = left_out_of_gallery(audited)
    people = fingerprint(people, audited.fingerprint) if suspects else people
    chooser = choosing_embedder(workspace, commit) if pointer else None  # the photos' subjects are chosen by now
    known = impostor_scores(weights)
    decided_by = (*asked, weights, known.digest, step_version("face_gallery"), *([chooser.fingerprint] if chooser else []))
    decided_by += (params.search.fingerprint(),) if params.search != Search() else ()
    name = fingerprint(exported.fingerprint, people, aligned.fingerprint, *decided_by)

    def fill(directory: Path) -> dict[str, Any]:
        from face_assets.gallery import enrolment as gallery
        from face_assets.gallery.index_building import write_index

        faces, without, left_out, notes = _enrolled(workspace, commit, params, aligned, suspects, log)
        if not faces:
            raise RefusedError(f"Nobody can be enrolled at commit {commit[:12]}: no photo there has a usable face.")

        def vectors_of(keys: Sequence[str]) -> Floats:
            return served_vectors(workspace, params, exported, keys, log)

        enrolled = gallery.enrolled_from(faces, vectors_of, directory)
        gallery.write_gallery(enrolled, directory)
        write_enrolled(faces, directory)
        photos = len(faces)
        searched = probes_of(faces_in_columns(aligned, "test"), len(enrolled.names))
        inside = searched.are_among(faces)
        del faces
        people = [face.identity for face in searched.faces]
        vectors = vectors_of([face.crop_key for face in searched.faces])
        calibrated = gallery.calibrate(enrolled, vectors, people, *asked, known)
        index = write_index(enrolled, vectors, people, calibrated.threshold.value, params.search, directory, log)
        figures = gallery.identification_figures(enrolled, vectors, people, inside, calibrated.held_out)
        return {
            "source": "gallery.dvc" if pointer else "photos.dvc",
            "people": len(enrolled.names),
            "photos": photos,
            "people_without_face": without,
            "left_out": len(left_out),
            "left_out_examples": left_out[:LISTED],
            "identification_threshold": calibrated.threshold.value,
            "identification_calibration": calibrated.to_json(),
            "stranger_rates": calibrated.rates.to_json(),
            "identification": dict(figures),
            **notes,
            **searched.notes(),
            **({"index": index} if index else {}),
        }

    return workspace.home.artifacts.make("face_gallery", name, fill)


def _enrolled(
    workspace: Workspace, commit: str, params: Params, aligned: Artifact, suspects: set[str], log: Log
) -> tuple[Sequence[Face], list[str], list[str], dict[str, Any]]:
    """The photos to enrol, people without a usable one, photos left out as duplicates or suspects, and the manifest's notes."""
    if workspace.repository.pointer(commit, GALLERY) is None:
        return faces_in_columns(aligned), [], [], {}
    found = gallery_faces(workspace, commit, params, {face.identity for face in read_faces(aligned)}, log)
    faces = [face for face in found.faces if face.path not in suspects]
    without = {*found.without, *({face.identity for face in found.faces} - {face.identity for face in faces})}
    return faces, sorted(without), sorted({*found.repeated, *suspects}), found.notes
