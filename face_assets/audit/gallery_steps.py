"""The step gallery_audit: photos and people of gallery.dvc whose labels the faces contradict."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from face_assets.audit.embedder import audit_embedder
from face_assets.audit.findings import Finding, read_findings, write_findings
from face_assets.audit.gallery_faces import GALLERY, gallery_faces
from face_assets.audit.judgement import Audit
from face_assets.audit.sheet import findings_sheet
from face_assets.audit.steps import FINDINGS, LEFT_OUT, LISTED, SHEET, audit_faces, counts
from face_assets.audit.subjects import choosing_embedder
from face_assets.core.fingerprint import fingerprint
from face_assets.core.step_versions import step_version
from face_assets.detection.detectors import crop_store, detector_fingerprint
from face_assets.detection.steps import Face, read_faces
from face_assets.registry.workspace import Log, Workspace
from face_assets.storage.artifacts import Artifact

PREFIX = f"{GALLERY}/"


def audit_gallery(workspace: Workspace, commit: str, audited: Artifact, log: Log) -> Artifact:
    """The findings about gallery.dvc, whose photos are judged together with the photos of the same names in photos.dvc.

    Its fingerprint is that of photos left out, "" where there are none. audited: the list of label_audit.
    """
    params = workspace.params(commit)
    pointer = workspace.repository.pointer(commit, GALLERY)
    embedder = audit_embedder(workspace, commit) if pointer else None
    decided_by = [pointer.md5, params.split.fingerprint(), detector_fingerprint(workspace, params.detector)] if pointer else []
    chooser = choosing_embedder(workspace, commit) if pointer else None
    judge = [one.fingerprint for one in (embedder, chooser) if one]
    name = fingerprint(*decided_by, audited.fingerprint, judge, params.audit.action, step_version("gallery_audit"))

    def fill(directory: Path) -> dict[str, Any]:
        photos = read_faces(audited)
        own = gallery_faces(workspace, commit, params, {face.identity for face in photos}, log).faces if pointer else []
        faces = _together(own, photos)
        audit = audit_faces(workspace, embedder, faces, log) if pointer else Audit()
        findings = [finding for finding in audit.findings if finding.path.startswith(PREFIX)]
        write_findings(directory / FINDINGS, findings)
        if findings:
            sheet = findings_sheet(findings, faces, crop_store(workspace, params.detector), params.detector.image_size)
            (directory / SHEET).write_bytes(sheet)
        photos_of = Counter(face.identity for face in faces)
        return {
            "source": "gallery.dvc" if pointer else "photos.dvc",
            "embedder": embedder.name if embedder else "none",
            "unable": audit.unable,
            "photos": len(own),
            "judged": sum(photos_of[face.identity] > 1 for face in own) if audit.separation is not None else 0,
            "people": len({face.identity for face in own}),
            "action": params.audit.action,
            "left_out": len(_suspects(findings)) if params.audit.action == "leave_out" else 0,
            **counts(findings),
            "findings": [finding.to_json() for finding in findings[:LISTED]],
        }

    made = workspace.home.artifacts.make("gallery_audit", name, fill)
    return replace(made, fingerprint=fingerprint(sorted(left_out_of_gallery(made))))


def left_out_of_gallery(audited: Artifact) -> set[str]:
    """The paths below gallery/ that `audit.action: leave_out` keeps from enrolment."""
    if audited.summary["action"] != "leave_out":
        return set()
    return {path.removeprefix(PREFIX) for path in _suspects([Finding(**one) for one in read_findings(audited.directory / FINDINGS)])}


def _suspects(findings: Sequence[Finding]) -> list[str]:
    return [finding.path for finding in findings if finding.kind in LEFT_OUT]


def _together(own: Sequence[Face], photos: Sequence[Face]) -> list[Face]:
    """The gallery's faces, under PREFIX, and those of the same names in photos.dvc that are other files."""
    names, files = {face.identity for face in own}, {(face.identity, face.md5) for face in own}
    rest = [face for face in photos if face.identity in names and (face.identity, face.md5) not in files]
    return [*(replace(face, path=f"{PREFIX}{face.path}") for face in own), *(replace(face, path=f"photos/{face.path}") for face in rest)]
