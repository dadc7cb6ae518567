"""Sources of starting weights: a name of facenet-pytorch's, a path on this machine, or a file of the data repository."""

import hashlib
from pathlib import Path

from face_assets.core.errors import UserError
from face_assets.core.files import write_bytes
from face_assets.core.identifiers import tracked_path
from face_assets.core.yaml_io import expanded
from face_assets.embedding.weights_file import require_harmless
from face_assets.registry.workspace import Workspace

MOST_IN_GIT = 500_000_000  # bytes
NAMES = ("vggface2", "casia-webface", "scratch")


def resolve_weights(workspace: Workspace, commit: str) -> str:
    """`embedder.weights` of the commit as a known name or the absolute path of a readable file. Raises UserError."""
    weights = workspace.params(commit).embedder.weights
    if weights in NAMES:
        return weights
    found = _file(workspace, commit, weights)
    require_harmless(found)
    return str(found)


def _file(workspace: Workspace, commit: str, weights: str) -> Path:
    path = expanded(weights)
    if path.is_absolute():
        if not path.is_file():
            raise UserError(f"embedder.weights: {path} does not exist. Name a state_dict (.pt), a Keras .h5, or one of {', '.join(NAMES)}.")
        return path
    weights = tracked_path(path.as_posix())
    pointer = workspace.repository.pointer(commit, weights)
    if pointer is not None:
        return _with_suffix(workspace, workspace.repository.locate(commit, weights, [pointer.md5])[pointer.md5], pointer.md5, path.suffix)
    content = workspace.repository.read(commit, weights, MOST_IN_GIT)
    if content is None:
        names = ", ".join(NAMES)
        raise UserError(
            f"embedder.weights: {weights} is neither one of {names}, nor tracked by DVC ({weights}.dvc) or git at commit {commit[:12]}. "
            f"Name an absolute path, or `dvc add {weights}` and commit."
        )
    kept = workspace.home.root / "weights" / f"{hashlib.sha256(content).hexdigest()[:16]}{path.suffix}"
    if not kept.is_file():
        write_bytes(kept, content)
    return kept


def _with_suffix(workspace: Workspace, cached: Path, md5: str, suffix: str) -> Path:
    """A link to a file of DVC's cache with a suffix, by which the loader recognizes the format."""
    link = workspace.home.root / "weights" / f"{md5}{suffix}"
    if not link.exists():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(cached)
    return link
