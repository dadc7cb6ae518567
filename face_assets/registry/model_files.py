"""Files of networks that a commit names: by an absolute path of this machine, or tracked in the data repository by DVC or git."""

import hashlib
from pathlib import Path

from face_assets.core.errors import UserError
from face_assets.core.files import write_bytes
from face_assets.core.identifiers import tracked_path
from face_assets.core.yaml_io import expanded
from face_assets.registry.workspace import Workspace

MOST_IN_GIT = 500_000_000  # bytes


def model_file(workspace: Workspace, commit: str, key: str, named: str, kinds: str, names: str) -> Path:
    """The absolute path of a file that the parameter `key` names. Raises UserError.

    kinds: files and names that the parameter takes, in words; names: the names alone. The setting `model_folders` bounds paths of this
    machine, links followed.
    """
    path = expanded(named)
    if path.is_absolute():
        _require_allowed(workspace, key, path)
        if not path.is_file():
            raise UserError(f"{key}: {path} does not exist. Name {kinds}.")
        return path
    tracked = tracked_path(path.as_posix())
    pointer = workspace.repository.pointer(commit, tracked)
    if pointer is not None:
        return _with_suffix(workspace, workspace.repository.locate(commit, tracked, [pointer.md5])[pointer.md5], pointer.md5, path.suffix)
    content = workspace.repository.read(commit, tracked, MOST_IN_GIT)
    if content is None:
        raise UserError(
            f"{key}: {tracked} is neither {names}, nor tracked by DVC ({tracked}.dvc) or git at commit {commit[:12]}. "
            f"Name an absolute path, or `dvc add {tracked}` and commit."
        )
    kept = workspace.home.root / "weights" / f"{hashlib.sha256(content).hexdigest()[:16]}{path.suffix}"
    if not kept.is_file():
        write_bytes(kept, content)
    return kept


def _require_allowed(workspace: Workspace, key: str, path: Path) -> None:
    folders = workspace.settings.model_folders
    if folders and not any(path.resolve().is_relative_to(expanded(folder).resolve()) for folder in folders):
        raise UserError(
            f"{key}: {path} is in none of the folders of this machine from which a commit may name files (setting model_folders: "
            f"{', '.join(folders)}): have DVC track it in the data repository."
        )


def _with_suffix(workspace: Workspace, cached: Path, md5: str, suffix: str) -> Path:
    """A link to a file of DVC's cache with a suffix, by which the loader recognizes the format."""
    link = workspace.home.root / "weights" / f"{md5}{suffix}"
    if not link.exists():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(cached)
    return link
