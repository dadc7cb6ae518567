"""The files outside the package that are installed with it; all else of the packaging stands in pyproject.toml."""

from pathlib import Path

from setuptools import setup


def _shared() -> list[tuple[str, list[str]]]:
    """The files beside the package, by the folder in which face_assets/core/project_files.py finds them."""
    folders: dict[str, list[str]] = {}
    for file in sorted(path for top in ("deploy", "triton_models") for path in Path(top).rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            folders.setdefault(f"share/face-assets/{file.parent}", []).append(str(file))
    return [("share/face-assets", ["definitions.py", "workspace.yaml"]), *folders.items()]


setup(data_files=_shared())
