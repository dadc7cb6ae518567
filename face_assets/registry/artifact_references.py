"""References from an asset and a commit to its artifact, read without Dagster, whose IO manager writes them."""

from face_assets.core.files import read_json
from face_assets.registry.workspace import Workspace
from face_assets.storage.artifacts import Artifact

MOST_COMMITS = 200
"""Commits that are looked through for the newest one with an artifact."""


def artifact_of(workspace: Workspace, asset: str, commit: str) -> Artifact | None:
    """The artifact of an asset for a commit; None where it was not made on this machine, or is deleted."""
    file = workspace.home.artifact_references / asset / f"{commit}.json"
    artifact = Artifact.from_json(read_json(file), workspace.home.root) if file.is_file() else None
    return artifact if artifact and artifact.directory.is_dir() else None


def newest_artifact(workspace: Workspace, asset: str, head: str) -> tuple[str, Artifact] | None:
    """The newest commit up to `head`, of the last MOST_COMMITS by first parents, with an artifact of the asset, and that artifact."""
    listed = workspace.repository.git("rev-list", "--first-parent", f"--max-count={MOST_COMMITS}", "--end-of-options", head)
    for commit in listed.decode().split():
        if found := artifact_of(workspace, asset, commit):
            return commit, found
    return None
