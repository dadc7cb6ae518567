"""Settings: one home, however FACE_ASSETS_HOME says it, for this process and for those that it starts."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from face_assets.cli.main import main
from face_assets.cli.monitoring_services import exporter_address, start_monitoring, stop_monitoring
from face_assets.core import settings as settings_module
from face_assets.core.errors import UserError
from face_assets.core.project_files import ROOT
from face_assets.core.settings import Settings, default_home, load_settings, remember
from face_assets.core.user_identity import name_user
from face_assets.event_log.instance import open_instance
from face_assets.registry.workspace import Workspace
from face_assets.storage.home import Home

NO_HOME = "The user {} has no home on this machine: set FACE_ASSETS_HOME to a folder for the platform's state, or HOME."
WAYS = [("", ".face-assets"), ("~/x", "x"), ("x", "x"), ("./y/../x", "y/../x"), (None, ".face-assets")]


@pytest.fixture
def folder(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that is both ~ and the current one."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_former_name_of_a_setting_is_read_with_a_warning(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings_module._warn_once.cache_clear()
    remember(gateway_max_mb=5.0)
    assert load_settings().max_request_mb == 5.0
    monkeypatch.setenv("FACE_ASSETS_GATEWAY_MAX_MB", "7")
    assert load_settings().max_request_mb == load_settings().max_request_mb == 7.0
    monkeypatch.setenv("FACE_ASSETS_MAX_REQUEST_MB", "9")
    assert load_settings().max_request_mb == 9.0
    assert [" ".join(record.getMessage().split()[:5]) for record in caplog.records] == [
        "settings.json: `gateway_max_mb` is now called",
        "FACE_ASSETS_GATEWAY_MAX_MB is now called FACE_ASSETS_MAX_REQUEST_MB;",
    ]


@pytest.mark.parametrize(("said", "meant"), WAYS)
def test_however_it_is_said_there_is_one_home(folder: Path, monkeypatch: pytest.MonkeyPatch, said: str | None, meant: str) -> None:
    monkeypatch.delenv("FACE_ASSETS_HOME") if said is None else monkeypatch.setenv("FACE_ASSETS_HOME", said)
    remember(repo="a", home="/elsewhere")
    settings = load_settings()
    assert (settings.home, settings.repo) == (folder / meant, "a")
    assert default_home() == settings.home


@pytest.mark.parametrize("said", ["", "~/x", "x"])
def test_a_process_started_in_another_folder_has_the_same_home(folder: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("FACE_ASSETS_HOME", said)
    with open_instance(Home(load_settings().home)):
        ask = "from face_assets.core.settings import load_settings; print(load_settings().home)"
        there = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    assert there == str(load_settings().home)
    assert [entry.name for entry in folder.iterdir()] == [Path(there).name]


def test_the_exporter_of_a_relative_home_makes_no_second_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, free_ports: Callable[[int], list[int]]
) -> None:
    monkeypatch.setenv("FACE_ASSETS_HOME", "x")
    monkeypatch.setenv("FACE_ASSETS_EXPORTER_PORT", str(free_ports(1)[0]))
    settings = load_settings()
    try:
        assert next(start_monitoring(settings)) == f"Exporter: {exporter_address(settings)}/metrics"
        assert (folder / "x" / "dagster").is_dir()
        assert not (folder / "x" / "x").exists()
    finally:
        stop_monitoring(settings)


def test_metrics_of_the_gateway_are_asked_where_it_publishes_them(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACE_ASSETS_HOST", "127.0.0.7")
    assert load_settings().metrics_address == "127.0.0.7:8002"
    monkeypatch.setenv("FACE_ASSETS_HOST", "192.0.2.7")
    monkeypatch.setenv("FACE_ASSETS_TARGET", "docker")
    assert load_settings().metrics_address == "127.0.0.1:8002"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::", "faces.example.org"])
def test_a_server_that_asks_for_no_key_has_loopback_alone(home: Path, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("FACE_ASSETS_HOST", host)
    with pytest.raises(UserError, match=r"binds to loopback alone.*FACE_ASSETS_TARGET=docker"):
        load_settings()
    monkeypatch.setenv("FACE_ASSETS_TARGET", "docker")
    assert load_settings().host == host


OPENED = "import os; os.umask(0o022)\nfrom face_assets.cli.main import main; main()"


def test_an_open_home_of_earlier_versions_is_closed_and_its_passwords_stay_private(home: Path) -> None:
    home.mkdir(mode=0o755)
    settings = home / "settings.json"
    settings.write_text('{"notify_smtp": "smtp://ann:password@mail.example.org", "notify_from": "a@b", "notify_to": "a@b"}')
    home.chmod(0o755)
    subprocess.run([sys.executable, "-c", OPENED, "history"], cwd=ROOT, check=True, capture_output=True)
    assert home.stat().st_mode & 0o777 == 0o700
    settings.chmod(0o600)
    remember(repo="faces")
    assert settings.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["DAGSTER_HOME", "SERVING_ENV", "GATEWAY_CERTIFICATE"])
@pytest.mark.parametrize("said", ["here", "~nobody-of-this-machine/x"])
def test_a_path_that_means_another_one_elsewhere_is_named(home: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str) -> None:
    monkeypatch.setenv(f"FACE_ASSETS_{name}", said)
    with pytest.raises(UserError, match=f"`{name.lower()}`: must be an absolute path"):
        load_settings()
    for unset in ("", None):
        monkeypatch.delenv(f"FACE_ASSETS_{name}") if unset is None else monkeypatch.setenv(f"FACE_ASSETS_{name}", unset)
        assert getattr(load_settings(), name.lower()) == Settings.model_fields[name.lower()].default
    monkeypatch.setenv(f"FACE_ASSETS_{name}", "~/x")
    assert getattr(load_settings(), name.lower()) == Path.home() / "x"


def test_a_repository_of_a_user_whom_this_machine_does_not_know_gets_a_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACE_ASSETS_REPO", "~nobody-of-this-machine/faces")
    with pytest.raises(UserError, match="~nobody-of-this-machine/faces"):
        Workspace.load().repository.refresh()


def test_a_user_without_name_and_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr("pwd.getpwuid", unknown)
    for name in ("HOME", "USER", "LOGNAME", "FACE_ASSETS_HOME"):
        monkeypatch.delenv(name, raising=False)
    done = CliRunner().invoke(main, ["status"])
    assert (done.exit_code, done.output) == (1, f"Error: {NO_HOME.format(os.getuid())}\n")
    monkeypatch.setenv("FACE_ASSETS_HOME", str(tmp_path))
    monkeypatch.setenv("USER", "somebody")
    name_user(tmp_path)
    assert (os.environ["HOME"], os.environ["USER"], os.environ["LOGNAME"]) == (str(tmp_path / "user"), "somebody", f"uid-{os.getuid()}")


def test_a_store_is_a_bucket_or_an_absolute_path_and_its_address_holds_no_key(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().store is None
    for right, found in (("s3://faces/team/", "s3://faces/team"), ("/mnt/store", "/mnt/store"), ("~/store", str(Path.home() / "store"))):
        monkeypatch.setenv("FACE_ASSETS_STORE", right)
        assert load_settings().store == found
    for wrong in ("store", "gs://faces/team", "s3://", "s3://ann:sesame@faces/team", "s3://faces?key=1"):
        monkeypatch.setenv("FACE_ASSETS_STORE", wrong)
        with pytest.raises(UserError, match=r"must be .*s3://bucket/prefix") as refused:
            load_settings()
        assert "sesame" not in str(refused.value)
