"""`--repo`: what this home follows from then on, unless the environment names another repository."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from face_assets.cli import main
from face_assets.operations.pipeline import follow_repository
from face_assets.operations.status import status_report
from face_assets.settings import load_settings


@pytest.fixture
def other(repository: Path, home: Path) -> Path:
    """Another data repository."""
    return Path(shutil.copytree(repository, repository.with_name("other")))


@pytest.mark.parametrize("command", [["run"], ["align"], ["launch"], ["releases"], ["compare", "HEAD", "v1.0.0"]])
def test_a_repository_that_the_environment_outranks_is_refused(
    command: list[str], repository: Path, other: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow_repository(str(repository))
    monkeypatch.setenv("FACE_ASSETS_REPO", str(repository))
    done = CliRunner().invoke(main, [*command, "--repo", str(other)])
    assert done.exit_code == 1
    assert f"FACE_ASSETS_REPO is set to '{repository}' and wins over --repo {other}" in done.output
    assert "from now on" not in done.output
    assert not (home / "dagster").exists()
    monkeypatch.delenv("FACE_ASSETS_REPO")
    assert load_settings().repo == str(repository)


def test_an_empty_variable_outranks_too_and_a_password_is_not_repeated(other: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for named in ("", "https://ann:s3cret@example.org/faces.git"):
        monkeypatch.setenv("FACE_ASSETS_REPO", named)
        done = CliRunner().invoke(main, ["releases", "--repo", str(other)])
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
    assert f"This home followed {repository} until now; from now on it follows {other}." in capsys.readouterr().err


def test_a_password_in_the_url_is_not_told(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two"):
        follow_repository(f"https://ann:s3cret@nowhere.invalid/{name}.git")
    said = capsys.readouterr().err + str(status_report()["repository"])
    assert "two.git" in said and "s3cret" not in said
