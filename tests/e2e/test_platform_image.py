"""The platform's scripts and image, without a whole stack: which settings arrive, what is refused, who may write, and what a pod gets."""

import ipaddress
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.e2e.test_compose import ROOT, missing

STACK = "face-assets-settings"
IMAGE = "face-assets/platform:0.1.0"
NAMES_OF_ENTRYPOINT = {"PATH", "HOSTNAME", "HOME", "PWD", "FACE_ASSETS_UMASK", "no_grpc_proxy"}  # with or without secrets
SLACK = "https://hooks.example.org/it's $HOME\nand `this`"
CHARTS_DAGSTER_HOME = "/opt/dagster/dagster_home"
SECONDS_TO_LISTEN = 120.0

pytestmark = [pytest.mark.timeout(600)]


@dataclass(frozen=True)
class Script:
    """deploy/platform/compose with a state folder of its own."""

    folder: Path

    def run(self, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FACE_ASSETS_")}
        named = {"STACK": STACK, "SUBNET": "172.31.242.0", "REPO": "https://git.example.org/faces.git", **settings}
        environment = {**kept, "XDG_STATE_HOME": str(self.folder), **{f"FACE_ASSETS_{name}": value for name, value in named.items()}}
        return subprocess.run(["deploy/platform/compose", *words], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300)

    def do(self, *words: str, **settings: str) -> str:
        done = self.run(*words, **settings)
        assert done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}"
        return done.stdout

    @property
    def secrets(self) -> Path:
        return self.folder / STACK / "secrets"

    @property
    def settings(self) -> Path:
        return self.secrets / f"settings.{STACK}"


@pytest.fixture(scope="module", autouse=True)
def engine() -> None:
    """Skipped, and in CI failed, where there is no engine or Compose or image."""
    if lacking := missing():
        pytest.fail(lacking) if os.environ.get("CI") else pytest.skip(lacking)


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path)


def variables(file: Path) -> dict[str, str]:
    """The environment of sh after reading the file."""
    said = subprocess.run(["sh", "-c", '. "$1"; env -0', "sh", file], env={}, capture_output=True, text=True, check=True).stdout
    return dict(line.split("=", 1) for line in said.split("\0") if line)


def test_every_setting_is_kept_for_services_and_runs_and_none_is_shown(script: Script) -> None:
    known = script.do("config", NOTIFY_SLACK=SLACK, PRODUCTION_BRANCHES="release")
    assert not script.settings.exists()  # `up` alone writes
    script.do("up", "--help", NOTIFY_SLACK=SLACK, PRODUCTION_BRANCHES="release", EXPERIMENT_BRANCHES="", UI_HOST="10.0.0.1")
    found = variables(script.settings)
    assert (found["FACE_ASSETS_NOTIFY_SLACK"], found["FACE_ASSETS_PRODUCTION_BRANCHES"]) == (SLACK, "release")
    assert found["FACE_ASSETS_EXPERIMENT_BRANCHES"] == ""
    assert "FACE_ASSETS_UI_HOST" not in found  # Compose's own, of this machine; the exporter binds to another
    assert script.settings.stat().st_mode & 0o777 == 0o600
    assert "hooks.example.org" not in known


def test_a_changed_setting_makes_containers_anew_and_other_commands_leave_it(script: Script) -> None:
    script.do("--profile", "grafana", "up", "--help", KEEP_RELEASES="4")
    kept = script.settings.read_text(encoding="utf-8")
    before = script.do("config")
    assert script.settings.read_text(encoding="utf-8") == kept
    assert before == script.do("config")
    script.do("up", "--help", KEEP_RELEASES="5")
    assert before != script.do("config")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HOME", "/srv/home"),
        ("DAGSTER_HOME", "/srv/dagster"),
        ("SERVING_ENV", "/srv/env"),
        ("EXPORTER_PORT", "9003"),
        ("TARGET", "embedded"),
        ("GATEWAY_CERTIFICATE", "/etc/ssl/gateway.pem"),
        ("GATEWAY_CERTIFICATE", "/run/secrets/absent.pem"),
        ("SUBNET", "172.31.242.0/24"),
        ("REPO", ""),
    ],
)
def test_what_cannot_work_in_containers_is_refused_by_name(script: Script, name: str, value: str) -> None:
    done = script.run("up", "--help", **{name: value})
    assert done.returncode == 1
    assert f"FACE_ASSETS_{name}" in done.stderr
    assert not script.settings.exists()


def test_a_certificate_beside_the_secrets_is_taken(script: Script) -> None:
    script.secrets.mkdir(parents=True)
    (script.secrets / "gateway.pem").touch()
    script.do("up", "--help", GATEWAY_CERTIFICATE="/run/secrets/gateway.pem")
    assert variables(script.settings)["FACE_ASSETS_GATEWAY_CERTIFICATE"] == "/run/secrets/gateway.pem"


def test_the_engines_addresses_lie_in_the_subnet_that_was_asked_for(script: Script) -> None:
    (pool,) = yaml.safe_load(script.do("config"))["networks"]["serving"]["ipam"]["config"]
    subnet = ipaddress.ip_network("172.31.242.0/24")
    assert pool["subnet"] == str(subnet)
    assert pool["ip_range"] == str(list(subnet.subnets(1))[1])


def test_files_that_name_no_variable_stay_files(tmp_path: Path) -> None:
    """In the base image, whose sh is dash."""
    secrets = {"aws_access_key_id": "AKIA", "gateway.pem": "pem", "postgres_password~": "old", "1st": "one", "two words": "2", "#a#": "b"}
    (tmp_path / "kubernetes.io").mkdir()
    for name, value in secrets.items():
        (tmp_path / name).write_text(value, encoding="utf-8")
    entrypoint = ROOT / "deploy" / "platform" / "entrypoint"
    mounts = [f"--volume={entrypoint}:/entrypoint:ro", f"--volume={tmp_path}:/run/secrets:ro"]
    command = ["docker", "run", "--rm", "--network=none", *mounts, "debian:bookworm-slim", "dash", "/entrypoint", "env"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert {line.split("=")[0] for line in done.stdout.splitlines()} - NAMES_OF_ENTRYPOINT == {"AWS_ACCESS_KEY_ID"}


@pytest.mark.slow
def test_another_stack_has_a_home_for_whoever_it_runs_as(script: Script) -> None:
    settings = {"USER": "10001:10001", "NOTIFY_SLACK": SLACK, "DATA": str(script.folder)}
    script.folder.chmod(0o755)
    try:
        script.do("up", "--no-start", "--no-deps", "code", **settings)
        shell = 'touch "$FACE_ASSETS_HOME/written" && cat "$DAGSTER_HOME/dagster.yaml" && env -0'
        said = script.do("run", "--rm", "--no-deps", "-T", "code", "sh", "-c", shell, **settings)
        told = subprocess.run(["docker", "inspect", f"{STACK}_code_1"], capture_output=True, text=True, check=True).stdout
    finally:
        script.do("down", "--volumes", **settings)
    assert f"FACE_ASSETS_NOTIFY_SLACK={SLACK}\0" in said
    assert f"FACE_ASSETS_HOME=/var/lib/face-assets/{STACK}\0" in said
    assert f"{STACK}-home:/var/lib/face-assets\n" in said
    assert "hooks.example.org" not in told


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A container as Dagster's chart starts the code location by deploy/helm-values.yaml, with a dagster.yaml at its place."""
    values = yaml.safe_load((ROOT / "deploy" / "helm-values.yaml").read_text(encoding="utf-8"))
    (deployment,) = values["dagster-user-deployments"]["deployments"]
    file = tmp_path / "dagster.yaml"
    file.write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    environment = {one["name"]: one["value"] for one in deployment["env"]} | {"DAGSTER_HOME": CHARTS_DAGSTER_HOME}
    options = [f"--env={name}={value}" for name, value in environment.items()]
    options += [f"--volume={file}:{CHARTS_DAGSTER_HOME}/dagster.yaml:ro", "--network=none"]
    command = ["dagster", "api", "grpc", "-h", "0.0.0.0", "-p", str(deployment["port"]), *deployment["dagsterApiGrpcArgs"]]
    name = f"face-assets-pod-{os.getpid()}"
    subprocess.run(["docker", "run", "--detach", "--name", name, *options, IMAGE, *command], capture_output=True, check=True)
    try:
        yield name, file
    finally:
        subprocess.run(["docker", "rm", "--force", name], capture_output=True, check=True)


@pytest.mark.slow
def test_a_pod_of_the_chart_serves_the_code_location_with_the_charts_dagster_yaml(pod: tuple[str, Path]) -> None:
    name, file = pod
    check = ["docker", "exec", name, "dagster", "api", "grpc-health-check", "-p", "4000"]  # the chart's readiness probe
    ends = time.monotonic() + SECONDS_TO_LISTEN
    while subprocess.run(check, capture_output=True).returncode:
        logs = subprocess.run(["docker", "logs", name], capture_output=True, text=True)
        running = subprocess.run(["docker", "inspect", "--format={{.State.Running}}", name], capture_output=True, text=True).stdout
        assert running.strip() == "true" and time.monotonic() < ends, logs.stdout + logs.stderr
    assert file.read_text(encoding="utf-8") == "telemetry: {enabled: false}\n"
    opened = "import dagster; dagster.DagsterInstance.get().run_launcher"
    subprocess.run(["docker", "exec", name, "python", "-c", opened], check=True, capture_output=True)
