"""A user's clone in which a branch is checked out: the files of a folder of DVC follow the branch that the platform moved.

Only files that the commit adds or removes are touched, so that photos which the user added and has not committed yet stay.
"""

import hashlib
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from face_assets.core.errors import UserError
from face_assets.core.files import read_json, write_bytes, write_json
from face_assets.core.rights import outside
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.git import git
from face_assets.registry.listing import TrackedFile
from face_assets.registry.pointer import parse_pointer

JOURNAL = "working-tree.json"
"""File of the state directory with what a clone still lacks: a killed process leaves it, and the next writer ends its work."""
SHOWN = 3


@dataclass(frozen=True)
class WorkingTree:
    """The clone's folder, the tracked folder's name, and its changed files: path → md5, of those removed and of those added."""

    repository: DataRepository
    root: Path
    name: str
    gone: Mapping[str, str]
    come: Mapping[str, str]

    @staticmethod
    def of(
        repository: DataRepository, branch: str, name: str, before: Sequence[TrackedFile], after: Sequence[TrackedFile]
    ) -> "WorkingTree | None":
        """The clone on this machine in which the branch is checked out; None where there is none."""
        root = _checked_out(repository, branch)
        if root is None:
            return None
        if before and not (root / name).is_dir():  # never fetched by `dvc pull`: a few files would look like the removal of the others
            return WorkingTree(repository, root, name, {}, {})
        old, new = {file.path: file.md5 for file in before}, {file.path: file.md5 for file in after}
        gone = {path: md5 for path, md5 in old.items() if path not in new}
        return WorkingTree(repository, root, name, gone, {path: md5 for path, md5 in new.items() if old.get(path) != md5})

    def require_room(self) -> None:
        """Raises UserError where the user has other files under the names of changed ones."""
        mine = [path for path, md5 in {**self.gone, **self.come}.items() if _digest(self._file(path)) not in (None, md5)]
        if mine:
            more = f" and {len(mine) - SHOWN:,} more" if len(mine) > SHOWN else ""
            raise UserError(
                f"The clone {self.root} has changes of its own in {self.name}/ ({', '.join(sorted(mine)[:SHOWN])}{more}): commit them "
                "(`face-assets commit`), or take them back, and try again."
            )

    @outside()
    def keep(self, contents: Mapping[str, bytes]) -> None:
        """Puts new files into the user's DVC cache, where DVC looks for those of the last commit."""
        for cache in self.repository.user_caches() if self.root == self.repository.local else ():
            for md5, content in contents.items():
                path = DataRepository.cached_path(cache, md5)
                if not path.is_file():
                    write_bytes(path, content, 0o444)

    @staticmethod
    def begin(repository: DataRepository, trees: "Sequence[tuple[WorkingTree, str]]") -> None:
        """Notes what clones will lack once their pointers are these md5s."""
        facts = [{"root": str(tree.root), "name": tree.name, "md5": md5, "gone": tree.gone, "come": tree.come} for tree, md5 in trees]
        if facts:
            write_json(repository.home / JOURNAL, facts)

    @staticmethod
    def finish(repository: DataRepository) -> None:
        """Brings the files of the clone to its pointers, where some are noted whose branch has moved."""
        journal = repository.home / JOURNAL
        if not journal.is_file():
            return
        noted = read_json(journal)
        for facts in [noted] if isinstance(noted, dict) else noted:  # one folder alone by earlier versions
            tree = WorkingTree(repository, Path(facts["root"]), facts["name"], facts["gone"], facts["come"])
            if tree._points_to(facts["md5"]):
                tree._follow()
        journal.unlink(missing_ok=True)

    def _points_to(self, md5: str) -> bool:
        file = self.root / f"{self.name}.dvc"
        try:
            return parse_pointer(file.read_bytes(), self.name, str(file)).md5 == md5
        except (OSError, UserError):
            return False

    @outside()
    def _follow(self) -> None:
        """Writes and removes files; one that the user changed meanwhile stays."""
        content = self.repository.cached(self.come.values())
        for path, md5 in self.come.items():
            if md5 in content and _digest(self._file(path)) is None:
                self._write(path, content[md5])
        for path, md5 in self.gone.items():
            file = self._file(path)
            if _digest(file) == md5:
                file.unlink()
                for folder in self._folders(path):
                    with suppress(OSError):  # it holds other files
                        folder.rmdir()

    def _write(self, path: str, content: Path) -> None:
        """Writes a file whole, without waiting for the disk: there may be thousands, and the journal remains until all are there."""
        aside = self.root / ".dvc" / "tmp" / f"face-assets-{secrets.token_hex(8)}"
        for folder in (aside.parent, self._file(path).parent):
            folder.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(content, aside)
            aside.replace(self._file(path))
        finally:
            aside.unlink(missing_ok=True)

    def _file(self, path: str) -> Path:
        return self.root / self.name / path

    def _folders(self, path: str) -> Iterator[Path]:
        """The folders of a file below the tracked one, the innermost first."""
        folder = self._file(path).parent
        while folder != self.root / self.name:
            yield folder
            folder = folder.parent


def _checked_out(repository: DataRepository, branch: str) -> Path | None:
    if repository.local is None:
        return None
    listed = git("worktree", "list", "--porcelain", "-z", cwd=repository.local).decode(errors="surrogateescape")
    for entry in listed.split("\0\0"):
        facts = dict(line.partition(" ")[::2] for line in entry.split("\0") if line)
        if facts.get("branch") == f"refs/heads/{branch}" and "bare" not in facts and "prunable" not in facts:
            return Path(facts["worktree"])
    return None


def _digest(file: Path) -> str | None:
    """The md5 of a file, None where there is none."""
    try:
        return hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return ""
