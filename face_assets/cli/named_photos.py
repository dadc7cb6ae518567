"""The photos that a command is given: files, and the files below folders."""

from collections.abc import Sequence
from pathlib import Path

from face_assets.core.errors import UserError
from face_assets.dataset.photo_folders import left_out_as


def photos_in(paths: Sequence[Path]) -> list[Path]:
    """Returns the files, and those of folders that may be photos, in order. Raises UserError for a folder without any."""
    found: list[Path] = []
    for path in paths:
        below = (
            sorted(file for file in path.rglob("*") if file.is_file() and not left_out_as(file.relative_to(path).parts))
            if path.is_dir()
            else [path]
        )
        if not below:
            raise UserError(f"{path} holds no photo.")
        found += below
    return list(dict.fromkeys(found))
