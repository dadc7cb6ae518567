"""A folder that somebody else filled, such as a checked out commit: none of our programs takes modules from it."""

import re
from pathlib import Path

import pytest

import face_assets
from face_assets.core import subprocesses
from face_assets.registry.availability import not_in_remote
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.dvc import try_dvc
from face_assets.registry.git import git

SHADOWED = ("json", "dvc", "face_assets", "functools", "runpy", "venv", "torch", "dagster")


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A folder whose modules, named as those that we use, leave a trace where they are imported."""
    folder = tmp_path / "foreign"
    for name in SHADOWED:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"open({str(tmp_path / 'taken')!r}, 'w').write(__name__)\n")
    return folder


def test_a_process_of_ours_takes_no_modules_from_the_folder_that_it_starts_in(
    foreign: Path, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(foreign)
    assert subprocesses.run(subprocesses.python("-m", "json.tool", "--help"), 60).returncode == 0
    assert "invalid choice" in try_dvc(foreign, ["no-such-command"]).stderr
    data = DataRepository(str(repository), tmp_path / "home")
    data.refresh()
    commit = git("rev-parse", "HEAD", cwd=repository).decode().strip()
    assert not_in_remote(data, commit, {"photos": "0" * 32}) == {"photos": "0" * 32}
    assert not (tmp_path / "taken").exists(), (tmp_path / "taken").read_text()


def test_every_python_that_we_start_is_started_so() -> None:
    root = Path(face_assets.__file__).parent
    plain = re.compile(r'sys\.executable,\s*"-[mc]"')
    assert [str(file) for file in root.rglob("*.py") if plain.search(file.read_text())] == []
