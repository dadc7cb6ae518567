"""An audit that a test makes up, stored as if the platform had made it."""

from collections.abc import Sequence
from pathlib import Path

from face_assets.audit.findings import Finding, write_findings
from face_assets.core.files import write_json
from face_assets.core.tables import write_rows
from face_assets.registry.workspace import Workspace
from face_assets.storage.artifacts import Artifact

COLUMNS = ("path", "md5", "identity", "split", "status", "faces", "reason", "crop")


def store_audit(workspace: Workspace, commit: str, findings: Sequence[Finding], statuses: dict[str, str]) -> Path:
    """Stores a label audit of a commit's photos. statuses: path → status, of photos without a face."""
    folder = workspace.home.artifacts.root / "label_audit" / commit[:16]
    folder.mkdir(parents=True)
    rows = [
        (file.path, file.md5, file.path.partition("/")[0], "train", statuses.get(file.path, "face"), 1, "", f"{file.md5}.1")
        for file in workspace.repository.files(commit, "photos")
    ]
    write_rows(folder / "faces.csv", COLUMNS, rows)
    write_findings(folder / "findings.csv", findings)
    artifact = Artifact("label_audit", commit[:16], folder, {"photos": len(rows)})
    write_json(workspace.home.artifact_references / "label_audit" / f"{commit}.json", artifact.to_json(workspace.home.root))
    return folder
