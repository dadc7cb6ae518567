"""Artifacts: folders that steps made, named by the fingerprint of their inputs, so that nothing is made twice."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

from face_assets.core.files import file_lock, lock_path, new_directory, read_json, remove_partial, write_json

SUMMARY = "summary.json"
SECONDS_TO_MAKE = 7 * 24 * 3600.0  # another process may be training it


@dataclass(frozen=True)
class Artifact:
    """A finished folder: `kind` and `fingerprint` name it, `summary` describes it in JSON-able facts."""

    kind: str
    fingerprint: str
    directory: Path
    summary: dict[str, Any]
    reused: bool = False

    def to_json(self) -> dict[str, Any]:
        """The artifact as JSON-able values."""
        return {**asdict(self), "directory": str(self.directory)}

    @staticmethod
    def from_json(values: dict[str, Any]) -> "Artifact":
        """The artifact that `to_json` wrote."""
        return Artifact(**{**values, "directory": Path(values["directory"])})


class ArtifactStore:
    """Folders by kind and fingerprint; each appears whole or not at all."""

    def __init__(self, root: Path):
        self.root = root

    def find(self, kind: str, fingerprint: str) -> Artifact | None:
        """The finished artifact, or None."""
        directory = self.root / kind / fingerprint
        if not (directory / SUMMARY).is_file():
            return None
        return Artifact(kind, fingerprint, directory, read_json(directory / SUMMARY), reused=True)

    def make(self, kind: str, fingerprint: str, fill: Callable[[Path], dict[str, Any]]) -> Artifact:
        """The artifact. Where it does not exist yet, `fill` puts files into a folder and returns the summary.

        Of two runs that want the same artifact at once, one makes it and the other waits.
        """
        with file_lock(lock_path(self.root / kind / fingerprint), seconds=SECONDS_TO_MAKE):
            found = self.find(kind, fingerprint)
            if found:
                return found
            remove_partial(self.root / kind / fingerprint)
            started = monotonic()
            with new_directory(self.root / kind / fingerprint) as aside:
                summary = fill(aside)
                write_json(aside / SUMMARY, {**summary, "seconds": round(monotonic() - started, 3)})
        made = self.find(kind, fingerprint)
        assert made is not None, fingerprint
        return replace(made, reused=False)
