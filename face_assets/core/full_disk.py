"""Detection of errors that a full disk caused. git, torch and OpenVINO report it in words of their own."""

import errno
import shutil
from pathlib import Path

from face_assets.core.errors import UserError, causes

LEAST = 2**20  # bytes: with less free, a failure is attributed to the full disk
ERRORS = (errno.ENOSPC, errno.EDQUOT)
MEND = "free some space and run again; what was finished is kept."
FULL = f"The disk is full: {MEND}"
WORDS = (
    "no space left on device",
    "disk is full",
    "disk full",
    "disk quota exceeded",
    "basic_ios::clear: iostream error",  # OpenVINO, which removes what it had written
)


def is_full(folder: Path) -> bool:
    """True with less than LEAST bytes free on the disk of a folder, which need not exist yet."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free < LEAST


def full_disk(error: BaseException, folder: Path) -> str | None:
    """The message for an error that a full disk caused, None for any other; folder: where it wrote."""
    cause = next((one for one in causes(error) if _is_of_full_disk(one)), None)
    if cause is None and not is_full(folder):
        return None
    reason = str(cause or error).strip().partition("\n")[0]
    return reason if reason.startswith("The disk is full") else f"The disk is full ({reason}): {MEND}"


def mendable(error: BaseException, folder: Path) -> str | None:
    """The message for an error that a user can fix, None for a defect; folder: where it wrote."""
    if any(isinstance(one, MemoryError) for one in causes(error)):
        return "There was too little memory: free some and run again; what was finished is kept."
    return full_disk(error, folder) or (str(error) if isinstance(error, UserError) else None)


def _is_of_full_disk(error: BaseException) -> bool:
    return (isinstance(error, OSError) and error.errno in ERRORS) or any(words in str(error).lower() for words in WORDS)
