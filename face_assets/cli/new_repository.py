"""`face-assets init`: a data repository from a folder of photos."""

from collections.abc import Callable
from pathlib import Path

from face_assets.core.errors import UserError
from face_assets.core.params import default_params_yaml, parse_params
from face_assets.core.yaml_io import expanded
from face_assets.dataset.repository_creation import create_repository


def init_repository(
    path: Path,
    photos: Path,
    gallery: Path | None,
    params_file: Path | None,
    weights: str | None,
    remote: str | None,
    note: Callable[[str], None] = lambda line: None,
) -> str:
    """Makes the data repository and returns its commit. Raises UserError before anything is made when the input does not fit.

    `note` gets a line on each kind of file that is not copied.
    """
    for option, folder in (("--photos", photos), ("--gallery", gallery)):
        if folder is not None and not folder.is_dir():
            raise UserError(f"{option}: {folder} is not a folder.")
    if params_file and not params_file.is_file():
        raise UserError(f"--params: {params_file} is not a file.")
    text = params_file.read_text(encoding="utf-8") if params_file else default_params_yaml()
    if weights:
        text = _with_weights(text, weights)
    parse_params(text, str(params_file or "params.yaml"))
    return create_repository(path, photos, text, remote, gallery, note)


def _with_weights(text: str, weights: str) -> str:
    """Replaces the line `weights:` of the section embedder, comments kept."""
    local = expanded(weights)
    value = str(local.resolve()) if local.is_file() else weights
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        if line.startswith("  weights:"):
            lines[number] = f"  weights: {value}\n"
            return "".join(lines)
    return text + f"\nembedder:\n  weights: {value}\n"
