"""Artifacts: folders that steps made, named by the fingerprint of their inputs, so that nothing is made twice."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

from face_assets.core.files import file_lock, lock_path, new_directory, read_json, remove_partial, write_json
from face_assets.storage.linked_files import LinkedFiles
from face_assets.storage.shared_store import SharedStore

SUMMARY = "summary.json"
FOLDERS = ("artifacts", "releases")
"""Folders of the state directory that hold artifacts; a release's is its bundle."""
SECONDS_TO_MAKE = 7 * 24 * 3600.0  # another process may be training it


@dataclass(frozen=True)
class Artifact:
    """A finished folder: `kind` and `fingerprint` name it, `summary` describes it in JSON-able facts."""

    kind: str
    fingerprint: str
    directory: Path
    summary: dict[str, Any]
    reused: bool = False

    def to_json(self, home: Path) -> dict[str, Any]:
        """The artifact as JSON-able values, with its folder relative to the state directory."""
        return {**asdict(self), "directory": self.directory.relative_to(home).as_posix()}

    @staticmethod
    def from_json(values: dict[str, Any], home: Path) -> "Artifact":
        """The artifact that `to_json` wrote. Of an absolute path of earlier versions the place below the state directory counts."""
        parts = Path(values["directory"]).parts
        places = [place for place, part in enumerate(parts) if part in FOLDERS]
        return Artifact(**{**values, "directory": home.joinpath(*parts[places[-1] if places else 0 :])})


class ArtifactStore:
    """Folders by kind and fingerprint; each appears whole or not at all, and large files that several have take their space once."""

    def __init__(self, root: Path, shared: SharedStore | None = None, linked: LinkedFiles | None = None):
        """shared: the store that several machines share; linked: the large files of this machine's folders."""
        self.root, self.shared, self.linked = root, shared, linked

    def find(self, kind: str, fingerprint: str) -> Artifact | None:
        """The finished artifact, or None."""
        directory = self.root / kind / fingerprint
        if not (directory / SUMMARY).is_file():
            return None
        return Artifact(kind, fingerprint, directory, read_json(directory / SUMMARY), reused=True)

    def make(self, kind: str, fingerprint: str, fill: Callable[[Path], dict[str, Any]]) -> Artifact:
        """The artifact. Where no machine made it yet, `fill` puts files into a folder and returns the summary.

        Of two runs that want the same artifact at once, one makes it and the other waits.
        """
        with file_lock(lock_path(self.root / kind / fingerprint), seconds=SECONDS_TO_MAKE):
            found = self.find(kind, fingerprint)
            if found and self.shared:
                self.shared.publish(kind, fingerprint, found.directory, just_made=False)
            found = found or self._fetched(kind, fingerprint)
            if found:
                return found
            remove_partial(self.root / kind / fingerprint)
            started = monotonic()
            with new_directory(self.root / kind / fingerprint) as aside:
                summary = fill(aside)
                write_json(aside / SUMMARY, {**summary, "seconds": round(monotonic() - started, 3)})
                if self.linked:
                    self.linked.share_folder(aside)
            if self.shared:
                self.shared.publish(kind, fingerprint, self.root / kind / fingerprint, just_made=True)
        made = self.find(kind, fingerprint)
        assert made is not None, fingerprint
        return replace(made, reused=False)

    def restore(self, artifact: Artifact) -> bool:
        """True if the artifact is on this machine, or is fetched now. The lock counts as a use of it (face_assets.automation.retention)."""
        directory = artifact.directory
        is_mine = directory.parent.parent == self.root
        if not directory.parent.is_dir() and not (is_mine and self.shared):
            return False
        with file_lock(lock_path(directory)):
            return directory.is_dir() or bool(is_mine and self._fetched(artifact.kind, artifact.fingerprint))

    def _fetched(self, kind: str, fingerprint: str) -> Artifact | None:
        """The artifact of another machine, fetched."""
        if self.shared is None or not self.shared.fetch(kind, fingerprint, self.root / kind / fingerprint):
            return None
        if self.linked:
            self.linked.share_folder(self.root / kind / fingerprint)
        return self.find(kind, fingerprint)
