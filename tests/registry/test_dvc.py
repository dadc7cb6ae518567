"""DVC as a command: one without progress is ended."""

import shutil
import socket
from pathlib import Path

import pytest

from face_assets.core.errors import UnreachableError
from face_assets.registry.dvc import try_dvc


def test_a_remote_that_takes_a_question_and_never_answers_ends_the_wait(repository: Path) -> None:
    shutil.rmtree(repository / ".dvc" / "cache")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/store"
        (repository / ".dvc" / "config.local").write_text(f"['remote \"storage\"']\n    url = {url}\n")
        with pytest.raises(UnreachableError, match="DVC moved no data for 3 s and was ended"):
            try_dvc(repository, ["fetch", "photos.dvc"], silence=3.0)
