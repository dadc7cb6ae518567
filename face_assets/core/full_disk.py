"""Whether an error comes of a full disk. Few programs and libraries say so: git, torch and OpenVINO fail with words of their own."""

import errno
import shutil
from pathlib import Path

from face_assets.core.errors import UserError, causes

LEAST = 2**20  # bytes: with less free, what failed is taken to have failed for want of space
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
    """Whether next to nothing is free on the disk of a folder, or of where it would stand."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free < LEAST


def full_disk(error: BaseException, folder: Path) -> str | None:
    """The sentence for an error that comes of a full disk, None for any other; folder: where it wrote."""
    cause = next((one for one in causes(error) if _says_so(one)), None)
    if cause is None and not is_full(folder):
        return None
    said = str(cause or error).strip().partition("\n")[0]
    return said if said.startswith("The disk is full") else f"The disk is full ({said}): {MEND}"


def mendable(error: BaseException, folder: Path) -> str | None:
    """The sentence for an error that a user can mend, None for a fault; folder: where it wrote."""
    if any(isinstance(one, MemoryError) for one in causes(error)):
        return "There was too little memory: free some and run again; what was finished is kept."
    return full_disk(error, folder) or (str(error) if isinstance(error, UserError) else None)


def _says_so(error: BaseException) -> bool:
    return (isinstance(error, OSError) and error.errno in ERRORS) or any(words in str(error).lower() for words in WORDS)
