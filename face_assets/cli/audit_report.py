"""`face-assets audit`: the findings of a commit's label audit."""

from typing import Any

from face_assets.audit.findings import read_findings
from face_assets.audit.steps import FINDINGS
from face_assets.core.errors import UserError
from face_assets.core.outside_text import shown_lines
from face_assets.detection.steps import read_faces
from face_assets.registry.artifact_references import artifact_of
from face_assets.registry.workspace import Workspace
from face_assets.storage.artifacts import Artifact

LABELS, GALLERY = "label_audit", "gallery_audit"
FACTS = ("embedder", "unable", "photos", "judged", "people", "action", "left_out")


def audit_report(revision: str) -> dict[str, Any]:
    """Returns the findings of the last audit of a commit's labels, as JSON-able values: of the photos, and of the gallery where that was
    judged, too; and the photos whose subject is not the largest face. Raises UserError where the photos were not."""
    workspace = Workspace.load()
    workspace.repository.refresh()
    commit = workspace.repository.resolve(revision)
    photos, gallery = (_audit(workspace, asset, commit) for asset in (LABELS, GALLERY))
    if photos is None:
        raise UserError(f"The labels of commit {commit[:12]} were not judged here: `face-assets launch +{LABELS} --commit {commit[:12]}`.")
    return {"commit": commit, "photos": photos, "gallery": gallery}


def _audit(workspace: Workspace, asset: str, commit: str) -> dict[str, Any] | None:
    """Facts and findings of an audit; None where it was not made, or has no photo to judge."""
    artifact = artifact_of(workspace, asset, commit)
    if artifact is None or not artifact.summary["photos"]:
        return None
    facts = {key: artifact.summary[key] for key in FACTS}
    findings, subjects = read_findings(artifact.directory / FINDINGS), _subjects(artifact) if asset == LABELS else []
    return {**facts, "findings": findings, "subjects": subjects, "path": str(artifact.directory)}


def _subjects(audited: Artifact) -> list[dict[str, Any]]:
    """The photos whose subject is another face than the largest, with the cosines of both faces where the summary has them."""
    scores = {one["path"]: one for one in audited.summary.get("subject_examples", [])}
    changed = [face.path for face in read_faces(audited) if face.crop_key != face.md5]
    return [{"path": path, **{key: scores.get(path, {}).get(key) for key in ("first_choice", "chosen")}} for path in changed]


def audit_text(found: dict[str, Any]) -> str:
    """Returns the report as text, a line for each finding."""
    lines = []
    for name in ("photos", "gallery"):
        audit = found[name]
        if audit is None:
            continue
        head = f"{name} of commit {found['commit'][:12]}: {audit['photos']:,} of {audit['people']:,} people"
        if audit["unable"]:
            lines.append(f"{head}, not judged: {audit['unable']}")
            continue
        lines.append(
            f"{head}, by the {audit['embedder']}: {len(audit['findings']):,} findings, {audit['left_out']:,} photos left out, "
            f"{len(audit['subjects']):,} subjects chosen by agreement"
        )
        lines += [
            f"  {one['kind']:<12} {one['path']}: {one['reason']} (own {_score(one['own'])}, other {_score(one['other'])})"
            for one in audit["findings"]
        ]
        lines += [
            f"  {'subject':<12} {one['path']}: a face agrees with the person's other photos that is not the largest "
            f"(chosen {_score(one['chosen'])}, largest {_score(one['first_choice'])})"
            for one in audit["subjects"]
        ]
    return shown_lines(lines)


def _score(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
