"""Pointers of every kind that DVC writes: read, or called by their name with the advice that helps."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from face_assets.core.errors import UserError
from face_assets.registry.availability import missing_bytes
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.git import git
from face_assets.registry.pointer import Pointer, parse_pointer
from face_assets.registry.remotes import remote_trouble

MD5 = "085669bca998f501855fd40d78301f77.dir"
OUT = f"- md5: {MD5}\n  size: 2\n  nfiles: 1\n  hash: md5\n  path: photos\n"


def dvc(repository: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=repository, check=True, capture_output=True)


def commit(repository: Path) -> str:
    git("add", "-A", cwd=repository)
    git("commit", "-q", "-m", "Changed", cwd=repository)
    return git("rev-parse", "HEAD", cwd=repository).decode().strip()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f"outs:\n<<<<<<< HEAD\n{OUT}=======\n{OUT}>>>>>>> theirs\n", "holds a merge conflict"),
        (f"outs:\n{OUT.replace('photos', 'other')}{OUT.replace('photos', 'third')}", "tracks something else than photos"),
        ("outs:\n- hash: md5\n  path: photos\n  files:\n  - relpath: a.jpg\n    version_id: x\n", "is cloud-versioned"),
        ("frozen: true\ndeps:\n- path: /tmp/src\nouts:\n- hash: md5\n  path: photos\n", "was imported without its files: run `dvc update"),
        ("deps: 3\nouts: 4\n", "is not a pointer of DVC"),
    ],
)
def test_what_is_not_read_is_named(text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=f"photos.dvc {sentence}"):
        parse_pointer(text.encode(), "photos", "photos.dvc")


def test_of_several_outputs_the_one_of_its_name_is_read() -> None:
    found = parse_pointer(f"outs:\n{OUT.replace('path: photos', 'path: other')}{OUT}  remote: cold\n".encode(), "photos", "photos.dvc")
    assert found == Pointer(MD5, 2, 1, "photos", remote="cold")


def test_an_import_is_read_where_its_files_are_and_else_named(repository: Path, tmp_path: Path) -> None:
    team = tmp_path / "team"
    git("init", "-q", "-b", "main", team)
    dvc(team, "init", "-q")
    dvc(team, "import", "-q", str(repository), "photos")
    dvc(team, "remote", "add", "-d", "own", str(tmp_path / "own"))
    imported = commit(team)
    data = DataRepository(str(team), tmp_path / "home")
    assert len(data.files(imported, "photos")) == 6
    shutil.rmtree(team / ".dvc" / "cache")
    for read in (lambda: data.files(imported, "photos"), lambda: missing_bytes(data, imported, ("photos",))):
        with pytest.raises(UserError, match=f"imported by `dvc import` from {repository}, .* `dvc fetch photos.dvc`"):
            read()


def test_remotes_without_a_default_are_named_and_dvc_is_quoted(repository: Path, tmp_path: Path) -> None:
    data = DataRepository(str(repository), tmp_path / "home")
    assert remote_trouble(data, data.resolve("HEAD")) is None
    dvc(repository, "remote", "add", "cold", str(tmp_path / "cold"))
    dvc(repository, "config", "--unset", "core.remote")
    chosen = data.resolve(commit(repository))
    shutil.rmtree(repository / ".dvc" / "cache")
    assert "has no default among its DVC remotes cold, storage: choose one by `dvc remote default NAME`" in str(
        remote_trouble(data, chosen)
    )
    with pytest.raises(UserError, match=r"DVC's message: .*[Nn]o (default )?remote"):
        data.files(chosen, "photos")


def test_a_project_in_a_folder_of_the_repository_is_named(repository: Path, tmp_path: Path) -> None:
    git("init", "-q", "-b", "main", tmp_path / "whole")
    shutil.copytree(repository, tmp_path / "whole" / "faces", ignore=shutil.ignore_patterns(".git", "cache", "tmp"))
    moved = commit(tmp_path / "whole")
    data = DataRepository(str(tmp_path / "whole"), tmp_path / "home")
    with pytest.raises(UserError, match=r"photos\.dvc is missing .* lies in 'faces' \(`dvc init --subdir`\)"):
        data.files(moved, "photos")
    with pytest.raises(UserError, match=r"has no DVC .* lies in 'faces'"), data.checkout(moved):
        pass
