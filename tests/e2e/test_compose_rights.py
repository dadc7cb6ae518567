"""Each service of deploy/compose.yaml may do what it needs and no more, as Compose itself reads the file."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SOCKET = "/var/run/docker.sock"
STARTERS = {"code", "daemon"}  # of servers, and of runs
OURS = {"code", "webserver", "web", "signin", "signin-grafana", "daemon", "exporter"}
USER = "1234:1234"
FILES = ["CHOWN", "DAC_OVERRIDE", "FOWNER"]  # of root alone: to give files to the servers' user, and Postgres's volume to postgres
CAPABILITIES = {"code": FILES, "postgres": [*FILES, "SETGID", "SETUID"]}


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The services as `docker-compose config` prints them."""
    compose = next((one for one in (["docker", "compose"], ["docker-compose"]) if shutil.which(one[0]) and _works(one)), None)
    if compose is None:
        pytest.fail("no Compose") if os.environ.get("CI") else pytest.skip("no Compose")
    folder = tmp_path_factory.mktemp("rights")
    settings = {"REPO": str(folder / "data" / "faces.git"), "DATA": str(folder / "data"), "SECRETS": str(folder / "secrets")}
    settings |= {"STACK": "face-assets-rights", "USER": USER, "DOCKER_GROUP": "999"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FACE_ASSETS_")}
    environment = {**kept, **{f"FACE_ASSETS_{name}": value for name, value in settings.items()}}
    printed = subprocess.run(
        ["deploy/platform/compose", "--profile", "grafana", "config"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert printed.returncode == 0, printed.stderr
    found: dict[str, Any] = yaml.safe_load(printed.stdout)["services"]
    return found


def _works(compose: list[str]) -> bool:
    return subprocess.run([*compose, "version"], capture_output=True, timeout=60).returncode == 0


def mounts(service: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    """The mounts: a path in the container → (source, true where writable)."""
    found = {}
    for one in service.get("volumes", []):
        if isinstance(one, str):
            source, target, *mode = one.split(":")
            found[target] = (source, mode != ["ro"])
        else:
            found[one["target"]] = (one["source"], not one.get("read_only", False))
    return found


def secrets(service: dict[str, Any]) -> set[str]:
    return {one["source"] if isinstance(one, dict) else one for one in service.get("secrets", [])}


def test_only_what_starts_containers_has_the_engine_and_its_group(services: dict[str, Any]) -> None:
    assert {name for name, service in services.items() if SOCKET in mounts(service)} == STARTERS
    assert {name for name, service in services.items() if service.get("group_add")} == STARTERS


def test_no_service_gains_rights_and_ours_are_no_root_on_a_read_only_system(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged") and "network_mode" not in service, name
        assert sorted(service.get("cap_add", [])) == CAPABILITIES.get(name, []), name
    for name in OURS:
        assert services[name]["user"] == USER
        assert services[name]["read_only"] is True


def test_home_data_and_secrets_are_for_whom_they_are(services: dict[str, Any]) -> None:
    whole = {name for name, service in services.items() if "/run/secrets" in mounts(service)}
    assert whole == {"code", "web"}  # which reach repositories and remotes
    assert secrets(services["webserver"]) == secrets(services["postgres"]) == {"postgres_password"}
    assert secrets(services["daemon"]) == secrets(services["exporter"]) == {"postgres_password", "settings"}
    homes = {
        name: mounts(service)["/var/lib/face-assets"][1] for name, service in services.items() if "/var/lib/face-assets" in mounts(service)
    }
    assert homes == {"code": True, "web": True, "exporter": False}
    signins = [services[name] for name in ("signin", "signin-grafana")]
    assert all(secrets(one) == {"proxy_token"} for one in signins)
    assert all(not writable for one in signins for _, writable in mounts(one).values())
    assert mounts(services["webserver"]) == {"/var/log/face-assets": (mounts(services["code"])["/var/log/face-assets"][0], False)}
    data = {name for name, service in services.items() if any("data" in Path(source).name for source, _ in mounts(service).values())}
    assert data - {"postgres"} == {"code", "web"}
    for name in ("prometheus", "grafana"):
        assert not secrets(services[name])
        assert all(not writable for target, (_, writable) in mounts(services[name]).items() if target != "/prometheus")


def test_the_sign_in_alone_has_public_ports(services: dict[str, Any]) -> None:
    assert {name for name, service in services.items() if service.get("ports")} == {"signin", "signin-grafana"}
    assert "serving" not in services["signin"]["networks"], "servers cannot reach it"
