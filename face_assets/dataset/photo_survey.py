"""Survey of a folder of photos on the disk: the files to copy, and those left out, by reason."""

import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from face_assets.core.errors import UserError
from face_assets.dataset.photo_folders import LOOSE, identity_of, left_out_as, person_key, require_unicode

EXAMPLES = 3
LINK_OUT = "links that lead out of the folder (`cp -rL` makes files of them)"
LINK_TO_FOLDER = "links to folders (`cp -rL` makes folders of them)"
BROKEN_LINK = "links that lead nowhere"
SPECIAL = "neither files nor folders"
EMPTY = "folders without a photo"


@dataclass(frozen=True)
class Survey:
    """files: relative paths, in order; left_out: reason → paths; spellings: the folders of each person with several."""

    files: list[Path]
    left_out: Mapping[str, list[str]]
    spellings: list[list[str]]

    def notes(self) -> list[str]:
        """A line for each reason for leaving files out, and for each person with several folders."""
        lines = [f"{len(paths):,} left out, {reason}: {_some(paths)}" for reason, paths in self.left_out.items()]
        return [*lines, *(f"the folders {', '.join(map(repr, names))} are taken for one person" for names in self.spellings)]


def _some(paths: list[str]) -> str:
    return ", ".join(map(repr, paths[:EXAMPLES])) + (", …" if len(paths) > EXAMPLES else "")


def survey(folder: Path) -> Survey:
    """The content of the folder. Links to files within it count as files; other links, hidden files and files of systems do not.

    Raises UserError where no person's folder has a photo, and for a name that is not UTF-8 or invalid for a person; OSError for a folder
    that cannot be read.
    """
    root = folder.resolve()
    files: list[Path] = []
    left_out: defaultdict[str, list[str]] = defaultdict(list)
    people: set[str] = set()
    for base, folders, names in os.walk(root, onerror=_raise):
        relative = Path(base).relative_to(root)
        if relative.parts:
            people.add(relative.parts[0])
        for name in sorted(folders):
            path = relative / name
            require_unicode(str(path))
            reason = LINK_TO_FOLDER if (root / path).is_symlink() else left_out_as([name], is_folder=True)
            if reason:
                left_out[reason].append(f"{path}/")
                folders.remove(name)
        folders.sort()
        for name in sorted(names):
            path = relative / name
            require_unicode(str(path))
            reason = left_out_as([name]) or _not_taken(root, path)
            if reason:
                left_out[reason].append(str(path))
            else:
                files.append(path)
    spelled: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted({path.parts[0] for path in files}):
        spelled[person_key(identity_of(name))].append(name)
    left_out[EMPTY] = sorted(people - {path.parts[0] for path in files})
    some = {reason: paths for reason, paths in sorted(left_out.items()) if paths}
    found = Survey(files, some, [folders for folders in spelled.values() if len(folders) > 1])
    if not files:
        notes = "; ".join(found.notes()) or "it is empty"
        raise UserError(f"{folder} holds no files to take ({notes}): it needs one folder a person, with that person's photos in it.")
    return found


def _raise(error: OSError) -> None:
    raise error


def _not_taken(root: Path, path: Path) -> str | None:
    """The reason for which a file that is no system file is left out."""
    file = root / path
    if file.is_symlink() and not file.exists():
        return BROKEN_LINK
    if not file.is_file():
        return SPECIAL
    if not file.resolve().is_relative_to(root):
        return LINK_OUT
    return LOOSE if len(path.parts) < 2 else None
