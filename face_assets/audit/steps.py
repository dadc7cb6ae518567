"""The step label_audit: the list of faces, with what its labels contradict."""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from face_assets.audit.embedder import STARTING, AuditEmbedder, audit_embedder
from face_assets.audit.findings import KINDS, Finding, write_findings
from face_assets.audit.judgement import Audit, judge_labels, too_few
from face_assets.audit.sheet import findings_sheet
from face_assets.audit.subjects import ChangedSubject, agreed_subjects, choosing_embedder, with_subjects
from face_assets.core.fingerprint import file_digest, fingerprint
from face_assets.core.step_versions import step_version
from face_assets.core.tables import write_rows
from face_assets.detection.detectors import crop_store
from face_assets.detection.steps import SEEN, Face, read_faces
from face_assets.embedding.vectors import embed
from face_assets.registry.workspace import Log, Workspace
from face_assets.storage.artifacts import Artifact

FACES, FINDINGS, SHEET = "faces.csv", "findings.csv", "suspects.jpg"
SUSPECT = "suspect"
"""Status of a face that `audit.action: leave_out` keeps from training, evaluation and enrolment."""
LEFT_OUT = ("wrong_person", "two_people")
"""Kinds of findings that leave_out acts on. Photos that are unlike their person stay: a hard photo is unlike, and figures without it would
flatter."""
LISTED = 40

Row = dict[str, str]


def audit_labels(workspace: Workspace, commit: str, aligned: Artifact, log: Log) -> Artifact:
    """The list of faces in the format of aligned_faces, and the findings. Its fingerprint changes with the list, not with the findings.

    A photo whose subject is another face than the detector's first choice names its crop. People who look like one person of an earlier
    split have the status SEEN, so that the figures leave them out; not by production's embedder, since another one in production would then
    train the same commit anew. With `audit.action: leave_out` the photos found have the status SUSPECT, so that no step downstream reads
    them.
    """
    params = workspace.params(commit)
    embedder = audit_embedder(workspace, commit)
    judge = embedder.fingerprint if embedder else ""
    name = fingerprint(aligned.fingerprint, judge, params.detector.choose == "consensus", params.audit.action, step_version("label_audit"))

    def fill(directory: Path) -> dict[str, Any]:
        faces = read_faces(aligned)
        subjects = _subjects(workspace, commit, faces, log)
        audit = audit_faces(workspace, embedder, with_subjects(faces, subjects), log)
        subjects = [] if audit.unable else subjects
        faces = with_subjects(faces, subjects)
        header, rows = _read_rows(aligned.directory / FACES)
        header = _name_crops(header, rows, subjects) if subjects else header
        seen = _mark_seen(rows, audit.findings) if embedder and embedder.name == STARTING else []
        left_out = _leave_out(rows, audit.findings) if params.audit.action == "leave_out" else 0
        write_rows(directory / FACES, header, ([row[name] for name in header] for row in rows))
        write_findings(directory / FINDINGS, audit.findings)
        if audit.findings:
            sheet = findings_sheet(audit.findings, faces, crop_store(workspace, params.detector), params.detector.image_size)
            (directory / SHEET).write_bytes(sheet)
        return {
            "embedder": embedder.name if embedder else "none",
            "unable": audit.unable,
            "separation": audit.separation,
            "photos": len(faces),
            "judged": audit.judged,
            "people": audit.people,
            "action": params.audit.action,
            "left_out": left_out,
            "subjects_by_agreement": len(subjects),
            "subject_examples": [subject.to_json() for subject in subjects[:LISTED]],
            "people_seen_under_another_name": len(seen),
            "people_seen_examples": seen[:LISTED],
            **counts(audit.findings),
            "findings": [finding.to_json() for finding in audit.findings[:LISTED]],
        }

    made = workspace.home.artifacts.make("label_audit", name, fill)
    return replace(made, fingerprint=_list_fingerprint(aligned, made))


def counts(findings: Sequence[Finding]) -> dict[str, int]:
    """Number of findings of each kind: photos, for `two_names` pairs of people; and of the people with `two_people`."""
    kinds = Counter(finding.kind for finding in findings)
    mixed = {finding.identity for finding in findings if finding.kind == "two_people"}
    return {**{kind: kinds[kind] for kind in KINDS}, "people_mixed": len(mixed)}


def _list_fingerprint(aligned: Artifact, audited: Artifact) -> str:
    """That of aligned_faces where the list is the same, so that an audit without consequences remakes nothing."""
    before, after = (file_digest(artifact.directory / FACES) for artifact in (aligned, audited))
    return aligned.fingerprint if before == after else fingerprint(aligned.fingerprint, after)


def audit_faces(workspace: Workspace, embedder: AuditEmbedder | None, faces: Sequence[Face], log: Log) -> Audit:
    """The audit of faces with stored crops; where they cannot be judged, with the reason."""
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


def _mark_seen(rows: Sequence[Row], findings: Sequence[Finding]) -> list[str]:
    """Marks the faces of people who look like one of an earlier split; returns the people's names."""
    splits = {row["identity"]: row["split"] for row in rows}
    reasons = {
        finding.identity: finding.reason
        for finding in findings
        if finding.kind == "two_names" and splits[finding.identity] != splits[finding.agrees_with]
    }
    for row in rows:
        if row["status"] == "face" and row["identity"] in reasons:
            row["status"], row["reason"] = SEEN, reasons[row["identity"]]
    return sorted(reasons)


def _leave_out(rows: Sequence[Row], findings: Sequence[Finding]) -> int:
    """Marks the photos found as SUSPECT; returns their number."""
    found = {finding.path: finding for finding in findings if finding.kind in LEFT_OUT}
    left_out = [row for row in rows if row["path"] in found]
    for row in left_out:
        row["status"], row["reason"] = SUSPECT, found[row["path"]].reason
    return len(left_out)


def _read_rows(path: Path) -> tuple[tuple[str, ...], list[Row]]:
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
        return tuple(reader.fieldnames or ()), rows
