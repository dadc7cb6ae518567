"""The platform's scripts and image, without a whole stack: what becomes of secrets, and what a pod gets."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.test_compose import ROOT, missing

IMAGE = "face-assets/platform:0.1.0"
CHARTS_DAGSTER_HOME = "/opt/dagster/dagster_home"
SECONDS_TO_LISTEN = 120.0

pytestmark = [pytest.mark.timeout(600)]


@pytest.fixture(scope="module", autouse=True)
def engine() -> None:
    """Skipped, and in CI failed, where there is no engine or Compose or image."""
    if lacking := missing():
        pytest.fail(lacking) if os.environ.get("CI") else pytest.skip(lacking)


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
    assert {line.split("=")[0] for line in done.stdout.splitlines()} - {"PATH", "HOSTNAME", "HOME", "PWD"} == {"AWS_ACCESS_KEY_ID"}


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
