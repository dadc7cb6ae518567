"""Git as the registry calls it: it ends in time, takes its helpers along, and keeps secrets to itself."""

import socket
import time
from pathlib import Path

import pytest

from face_assets.errors import UserError
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.git import GitError, git


def test_a_far_end_that_never_answers_is_given_up_with_gits_helpers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/silent.git"
        began = time.monotonic()
        with pytest.raises(GitError, match="no answer within 1 s"):
            git("ls-remote", url, seconds=1)
        assert time.monotonic() - began < 5
        time.sleep(0.2)
        assert [line for line in command_lines() if url in line] == []


def command_lines() -> list[str]:
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return lines


def test_user_and_password_of_a_url_stay_out_of_every_sentence(tmp_path: Path) -> None:
    repository = DataRepository("https://ann:secret@127.0.0.1:1/faces.git", tmp_path)
    for ask in (repository.heads, repository.refresh):
        with pytest.raises(UserError, match=r"https://127\.0\.0\.1:1/faces\.git cannot be read") as raised:
            ask()
        assert "secret" not in str(raised.value)
