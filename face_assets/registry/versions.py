"""Data versions of the sources at a commit, read from git alone."""

from face_assets.core.errors import UserError
from face_assets.registry.workspace import Workspace


def photos_version(workspace: Workspace, commit: str) -> str:
    """The md5 of the pointers of the photos, and of the gallery where there is one. Raises UserError without photos."""
    pointer = workspace.repository.pointer(commit, "photos")
    gallery = workspace.repository.pointer(commit, "gallery")
    if pointer is None:
        raise UserError(f"photos.dvc is missing at commit {commit[:12]}, and so are pointers below photos/")
    return "-".join(found.md5 for found in (pointer, gallery) if found)


def parameters_version(workspace: Workspace, commit: str) -> str:
    """A digest of params.yaml's values, defaults included. Raises UserError."""
    return workspace.params(commit).fingerprint()
