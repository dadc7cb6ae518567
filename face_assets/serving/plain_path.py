"""Plain paths for folders with other characters: Triton's Python backend passes paths to a shell unquoted, and reads ASCII."""

import os
import re
import stat
import tempfile
from pathlib import Path

from face_assets.core.errors import UserError
from face_assets.core.fingerprint import fingerprint

PLAIN = re.compile(r"[A-Za-z0-9/._+-]+")


def plain_path(folder: Path) -> Path:
    """Returns the folder where its path is plain, else a link to it in a folder of this user. Raises UserError."""
    if PLAIN.fullmatch(str(folder)):
        return folder
    link = _own_folder() / fingerprint(str(folder))
    if not link.is_symlink() or link.readlink() != folder:
        aside = link.with_name(f".{link.name}.{os.getpid()}")
        aside.unlink(missing_ok=True)
        aside.symlink_to(folder)
        aside.replace(link)
    return link


def _own_folder() -> Path:
    """Returns a folder with a plain path that no other user may change. Raises UserError."""
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or "/nowhere")
    usable = PLAIN.fullmatch(str(runtime)) and os.access(runtime, os.W_OK)
    base = runtime if usable else Path(tempfile.gettempdir() if PLAIN.fullmatch(tempfile.gettempdir()) else "/tmp")
    folder = base / f"face-assets-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise UserError(f"{folder} is not a folder that this user alone may change: remove it, or choose a home with a plain path.")
    return folder
