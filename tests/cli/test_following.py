"""The repository that a home follows: `use`, `up` and `run` choose it, unless the environment names another; nothing else does."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from face_assets.cli.followed_repository import follow_repository
from face_assets.cli.main import main
from face_assets.core.settings import Settings, load_settings
from face_assets.registry.data_repository import DataRepository
from face_assets.registry.releases import Digests, Releases


@pytest.fixture
def other(repository: Path, home: Path) -> Path:
    """Another data repository."""
    return Path(shutil.copytree(repository, repository.with_name("other")))


@pytest.mark.parametrize("command", [["run", "--repo"], ["up", "--no-server", "--no-ui", "--repo"], ["use"]])
def test_a_repository_that_the_environment_outranks_is_refused(
    command: list[str], repository: Path, other: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow_repository(str(repository))
    monkeypatch.setenv("FACE_ASSETS_REPO", str(repository))
    done = CliRunner().invoke(main, [*command, str(other)])
    assert done.exit_code == 1
    assert f"FACE_ASSETS_REPO is set to '{repository}' and wins over {other}" in done.output
    assert "from now on" not in done.output
    assert not (home / "dagster").exists()
    monkeypatch.delenv("FACE_ASSETS_REPO")
    assert load_settings().repo == str(repository)


def test_reading_another_repository_changes_nothing(
    repository: Path, other: Path, home: Path, tmp_path: Path, bundle: Callable[[bytes], Path]
) -> None:
    theirs = Releases(DataRepository(str(other), tmp_path / "another-home"))
    theirs.register(bundle(b"a"), theirs.repository.resolve("HEAD"), "inputs", Digests("s", "g", "p"), {}, {})
    follow_repository(str(repository))
    ask = CliRunner().invoke
    assert "v1.0.0" in ask(main, ["releases", "--repo", str(other)]).output
    assert "No release is registered" in ask(main, ["releases"]).output
    ask(main, ["compare", "v1.0.0", "v1.0.0", "--repo", str(other)])
    refused = ask(main, ["launch", "aligned_faces", "--repo", str(other)]).output
    assert f"follows {repository}, not {other}: `face-assets use {other}` changes that" in refused
    assert load_settings().repo == str(repository)
    assert "No release is in production" in ask(main, ["rollback"]).output


def test_a_repository_that_cannot_be_read_is_not_followed(repository: Path, tmp_path: Path) -> None:
    follow_repository(str(repository))
    for command in (["use", str(tmp_path)], ["run", "--repo", "https://ann:s3cret@nowhere.invalid/faces.git"]):
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 1
        assert "s3cret" not in done.output
    assert load_settings().repo == str(repository)


def test_a_variable_set_to_nothing_is_not_set(repository: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        if name != "home":
            monkeypatch.setenv(f"FACE_ASSETS_{name.upper()}", "")
    assert CliRunner().invoke(main, ["use", str(repository)]).exit_code == 0
    assert load_settings() == Settings(home=home, repo=str(repository))


def test_a_password_in_the_environment_is_not_repeated(other: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACE_ASSETS_REPO", "https://ann:s3cret@example.org/faces.git")
    done = CliRunner().invoke(main, ["use", str(other)])
    assert "FACE_ASSETS_REPO is set to" in done.output
    assert "s3cret" not in done.output
    assert not (home / "settings.json").exists()


def test_the_same_repository_said_in_another_way_is_followed(
    repository: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(repository.parent)
    monkeypatch.setenv("FACE_ASSETS_REPO", "./data")
    assert follow_repository(str(repository)).repository.local == repository
    assert "from now on" not in capsys.readouterr().err
    monkeypatch.delenv("FACE_ASSETS_REPO")
    assert load_settings().repo == str(repository)


def test_another_repository_is_followed_and_said(repository: Path, other: Path, capsys: pytest.CaptureFixture[str]) -> None:
    follow_repository(str(repository))
    assert follow_repository(str(other)).settings.repo == str(other)
    assert f"This state directory followed {repository} until now; from now on it follows {other}." in capsys.readouterr().err
