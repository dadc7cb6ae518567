"""A file system of its own, small enough to be filled."""

import os
import subprocess
from pathlib import Path

import pytest

MB = 1_000_000


class SmallDisk:
    """A tmpfs mounted on a folder, and a file that fills it."""

    def __init__(self, folder: Path, size: int):
        """size: MB. Mounting takes root; where it cannot be done the test is skipped, and fails in CI."""
        folder.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}m", "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sentence = f"no disk of its own: {done.stderr.strip()}"
            pytest.fail(sentence) if os.environ.get("CI") else pytest.skip(sentence)
        self.folder = folder
        self.filler = folder / "filler"

    def free(self) -> float:
        """MB that are free."""
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize / MB

    def leave(self, space: float) -> None:
        """Leaves so many MB free: the filler gives way, or grows."""
        taken = self.filler.stat().st_size if self.filler.exists() else 0
        size = max(0, int(taken + (self.free() - space) * MB))
        with open(self.filler, "a") as file:
            os.truncate(file.fileno(), min(size, taken))
            if size > taken:
                os.posix_fallocate(file.fileno(), taken, size - taken)

    def clear(self) -> None:
        """Removes the filler."""
        self.filler.unlink(missing_ok=True)

    def unmount(self) -> None:
        """The end of it."""
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)
