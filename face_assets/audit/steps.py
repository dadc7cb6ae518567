"""The step label_audit: the list of faces, with what its labels contradict."""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from face_assets.audit.embedder import AuditEmbedder, audit_embedder
from face_assets.audit.findings import Finding, write_findings
from face_assets.audit.judgement import Audit, judge_labels, too_few
from face_assets.audit.subjects import ChangedSubject, agreed_subjects, choosing_embedder, with_subjects
from face_assets.core.fingerprint import file_digest, fingerprint
from face_assets.core.step_versions import step_version
from face_assets.core.tables import write_rows
from face_assets.detection.steps import Face, read_faces
from face_assets.embedding.vectors import embed
from face_assets.registry.workspace import Log, Workspace
from face_assets.storage.artifacts import Artifact

FACES, FINDINGS = "faces.csv", "findings.csv"
LEFT_OUT = "suspect"
"""Status of a face that `audit.action: leave_out` keeps from training, evaluation and enrolment."""
LISTED = 40

Row = dict[str, str]


def audit_labels(workspace: Workspace, commit: str, aligned: Artifact, log: Log) -> Artifact:
    """The list of faces in the format of aligned_faces, and the findings. Its fingerprint changes with the list, not with the findings.

    A photo whose subject is another face than the detector's first choice names its crop. With `audit.action: leave_out` the photos
    found have another status, so that no step downstream reads them.
    """
    params = workspace.params(commit)
    embedder = audit_embedder(workspace, commit)
    judge = embedder.fingerprint if embedder else ""
    name = fingerprint(aligned.fingerprint, judge, params.detector.choose == "consensus", params.audit.action, step_version("label_audit"))

    def fill(directory: Path) -> dict[str, Any]:
        faces = read_faces(aligned)
        subjects = _subjects(workspace, commit, faces, log)
        audit = _audit(workspace, embedder, with_subjects(faces, subjects), log)
        subjects = [] if audit.unable else subjects
        header, rows = _read_rows(aligned.directory / FACES)
        header = _name_crops(header, rows, subjects) if subjects else header
        left_out = _leave_out(rows, audit.findings) if params.audit.action == "leave_out" else 0
        write_rows(directory / FACES, header, ([row[name] for name in header] for row in rows))
        write_findings(directory / FINDINGS, audit.findings)
        kinds = Counter(finding.kind for finding in audit.findings)
        return {
            "embedder": embedder.name if embedder else "none",
            "unable": audit.unable,
            "overlap": audit.overlap,
            "photos": len(faces),
            "judged": audit.judged,
            "action": params.audit.action,
            "left_out": left_out,
            "subjects_by_agreement": len(subjects),
            "subject_examples": [subject.to_json() for subject in subjects[:LISTED]],
            "wrong_person": kinds["wrong_person"],
            "findings": [finding.to_json() for finding in audit.findings[:LISTED]],
        }

    made = workspace.home.artifacts.make("label_audit", name, fill)
    return replace(made, fingerprint=_list_fingerprint(aligned, made))


def _list_fingerprint(aligned: Artifact, audited: Artifact) -> str:
    """That of aligned_faces where the list is the same, so that an audit without consequences remakes nothing."""
    before, after = (file_digest(artifact.directory / FACES) for artifact in (aligned, audited))
    return aligned.fingerprint if before == after else fingerprint(aligned.fingerprint, after)


def _audit(workspace: Workspace, embedder: AuditEmbedder | None, faces: Sequence[Face], log: Log) -> Audit:
    if embedder is None:
        return Audit(unable="embedder.weights is scratch and no release is in production: there is no embedder to judge labels by")
    unable = too_few(faces)
    if unable:
        return Audit(unable=unable)
    embeddings = embed(workspace, embedder.embedding, [face.crop_key for face in faces], log)
    return judge_labels(faces, embeddings, embedder.name)


def _subjects(workspace: Workspace, commit: str, faces: Sequence[Face], log: Log) -> list[ChangedSubject]:
    """The photos of which another face than the detector's first choice is the subject."""
    chooser = choosing_embedder(workspace, commit)
    if chooser is None or too_few(faces):
        return []
    subjects = agreed_subjects(workspace, chooser.embedding, faces, log)
    log(f"subject chosen by agreement with the person's other photos, and not the largest face: {len(subjects):,} photos")
    return subjects


def _name_crops(header: Sequence[str], rows: Sequence[Row], subjects: Sequence[ChangedSubject]) -> tuple[str, ...]:
    """Names the crop of each row; returns the header with that column. Without changed subjects the list needs none."""
    chosen = {subject.path: subject.crop_key for subject in subjects}
    for row in rows:
        row["crop"] = chosen.get(row["path"], row["md5"])
    return tuple(dict.fromkeys((*header, "crop")))


def _leave_out(rows: Sequence[Row], findings: Sequence[Finding]) -> int:
    """Changes the status of the rows found; returns their number."""
    found = {finding.path: finding for finding in findings}
    left_out = [row for row in rows if row["path"] in found]
    for row in left_out:
        row["status"], row["reason"] = LEFT_OUT, found[row["path"]].reason
    return len(left_out)


def _read_rows(path: Path) -> tuple[tuple[str, ...], list[Row]]:
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
        return tuple(reader.fieldnames or ()), rows
