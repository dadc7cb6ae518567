"""Locks between processes: one that is not free in time names its holder."""

import os
from pathlib import Path

import pytest

from face_assets.core.errors import UnreachableError
from face_assets.core.files import file_lock


def test_a_lock_that_is_not_free_in_time_names_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / ".register.lock"
    sentence = rf"register\.lock .* within 0\.1 s: process {os.getpid()} \(.*python"
    with file_lock(path), pytest.raises(UnreachableError, match=sentence), file_lock(path, seconds=0.1):
        pass
    with file_lock(path, shared=True), file_lock(path, shared=True, seconds=0.1):
        pass
