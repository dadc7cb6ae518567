"""The platform in containers: one stack for all tests; a commit on a bare repository comes to an answer through the gateway.

It needs the engine, Compose and the images of `make platform-image` and `make local-images`. It is skipped where they are not, and fails
in CI.
"""

import base64
import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from face_assets.core.errors import UserError
from face_assets.core.fingerprint import fingerprint
from face_assets.dataset.repository_creation import commit_photos, create_repository
from face_assets.demo.synthetic import write_people
from face_assets.registry.git import git
from face_assets.serving.client import RecognizerClient
from tests.e2e.runs import runs_of
from tests.e2e.untrained import UNTRAINED
from tests.waiting import until

ROOT = Path(__file__).parents[2]
STACK = "face-assets-e2e"
PASSWORD = "of the tests"
SIGNED_IN = {"Authorization": f"Basic {base64.b64encode(f'ann:{PASSWORD}'.encode()).decode()}"}
PARAMS = UNTRAINED + "serving: {golden_requests: 4, max_latency_ms: 30000, canary_seconds: 1}\n"
SECONDS, SECONDS_TO_LIVE = 300.0, 900.0  # on a busy machine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]


def missing() -> str | None:
    """The first thing that this machine lacks for these tests, None where it lacks none."""
    if shutil.which("docker") is None or subprocess.run(["docker", "info"], capture_output=True).returncode:
        return "no Docker engine"
    if shutil.which("docker-compose") is None and subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:
        return "no Compose"
    images = subprocess.run(["docker", "images", "--format", "{{.Repository}}"], capture_output=True, text=True).stdout.split()
    needed = ("face-assets/platform", "postgres", "prom/prometheus", "haproxy")
    return next((f"no image {name}: `make platform-image local-images`" for name in needed if name not in images), None)


@dataclass(frozen=True)
class Stack:
    """A running stack: its folder holds work/ and the bare repository faces.git that it watches."""

    folder: Path
    environment: dict[str, str]

    def do(self, *command: str | Path) -> str:
        done = subprocess.run([*map(str, command)], env=self.environment, cwd=ROOT, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def runs(self) -> list[dict[str, Any]]:
        """The runs from the webserver, newest first."""
        return runs_of(self.environment["FACE_ASSETS_UI_PORT"], SIGNED_IN)

    def tells_of_runs(self) -> bool:
        """True if the webserver reaches its event log."""
        try:
            self.runs()
        except (OSError, KeyError, TypeError):
            return False
        return True

    def of(self, commit: str) -> list[dict[str, Any]]:
        return [run for run in self.runs() if run["tags"].get("dagster/partition") == commit]

    def wait(self, what: str, seconds: float, found: Callable[[], Any]) -> Any:
        ends = time.monotonic() + seconds
        last: Any = None
        while time.monotonic() < ends:
            try:
                if last := found():
                    return last
            except (OSError, KeyError, TypeError, UserError) as error:  # the webserver while Postgres is away, or a Prometheus that is late
                last = error
            time.sleep(1)
        logs = self.do("deploy/platform/compose", "logs", "--tail", "20", "daemon", "code")
        for run in self.containers(f"face-assets.stack={STACK}"):
            logs += f"\n{run}: " + self.do("docker", "logs", "--tail", "20", run)
        raise AssertionError(f"{what}: not within {seconds:g} s ({last})\n{self.runs()}\n{logs}")

    def command(self, *arguments: str) -> str:
        """The output of `face-assets` in a container of the platform, called as in docs/how-to/scale.md."""
        entrypoint = "/opt/face-assets/deploy/platform/entrypoint"
        return self.do("deploy/platform/compose", "exec", "-T", "code", entrypoint, "face-assets", *arguments)

    def key(self, *rights: str) -> str:
        """A key for the gateway."""
        options = [part for right in rights for part in ("--right", right)]
        return self.command("keys", "add", f"test-{time.time_ns()}", *options).split()[0]

    def asked(self) -> str:
        """The release that answers about a photo through the gateway."""
        photo = next((self.folder / "photos").rglob("*.jpg"))
        client = RecognizerClient(f"127.0.0.1:{self.environment['FACE_ASSETS_GRPC_PORT']}", seconds=30, key=self.key())
        return client.identify(photo.read_bytes()).release

    def seen(self, query: str) -> set[str]:
        """The jobs in Prometheus' response to a query."""
        found = self.read("PROMETHEUS", f"/api/v1/query?{urllib.parse.urlencode({'query': query})}", SIGNED_IN)
        return {one["metric"]["job"] for one in found["data"]["result"]}

    def read(self, service: str, path: str, headers: Mapping[str, str], content: bytes | None = None) -> Any:
        """The JSON at a port of the stack. Raises OSError for an error."""
        port = self.environment[f"FACE_ASSETS_{service}_PORT"]
        with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{path}", content, dict(headers)), timeout=60) as answer:
            return json.load(answer)

    def has_settings(self, container: str) -> bool:
        """True where a container's processes have the settings of the caller of `up`, and `docker inspect` shows none."""
        wanted = {"FACE_ASSETS_PRODUCTION_BRANCHES=main release", "FACE_ASSETS_NOTIFY_FROM=faces@example.org"}
        environments = self.do("docker", "exec", container, "sh", "-c", "cat /proc/[0-9]*/environ 2>/dev/null || true")
        return wanted <= set(environments.split("\0")) and "faces@example.org" not in self.do("docker", "inspect", container)

    def containers(self, *labels: str) -> list[str]:
        filters = [part for label in labels for part in ("--filter", f"label={label}")]
        return self.do("docker", "ps", "--all", "--format", "{{.Names}}", *filters).split()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, free_ports: Callable[[int], list[int]]) -> Iterator[Stack]:
    lacking = missing()
    if lacking:
        pytest.fail(lacking) if os.environ.get("CI") else pytest.skip(lacking)
    folder = tmp_path_factory.mktemp("compose")
    with pytest.MonkeyPatch.context() as patch:
        for who in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{who}_NAME", "Ann")
            patch.setenv(f"GIT_{who}_EMAIL", "ann@example.org")
        write_people(folder / "photos", 14, 4)
        create_repository(folder / "work", folder / "photos", PARAMS, str(folder / "remote"), None)
        git("clone", "-q", "--bare", folder / "work", folder / "faces.git")
    names = ("UI_PORT", "WEB_PORT", "HTTP_PORT", "GRPC_PORT", "METRICS_PORT", "PROMETHEUS_PORT")
    ports = {f"FACE_ASSETS_{name}": str(port) for name, port in zip(names, free_ports(len(names)), strict=True)}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FACE_ASSETS_")}
    ours = {"STACK": STACK, "REPO": str(folder / "faces.git"), "SECRETS": str(folder / "secrets"), "SUBNET": "172.31.241.0"}
    ours |= {"PRODUCTION_BRANCHES": "main release", "NOTIFY_FROM": "faces@example.org"}
    made = Stack(folder, {**kept, **ports, **{f"FACE_ASSETS_{name}": value for name, value in ours.items()}})
    try:
        made.do("deploy/platform/down", "--volumes")  # what an earlier one left that was killed
        subprocess.run(["deploy/platform/users", "set", "ann"], env=made.environment, cwd=ROOT, input=PASSWORD, text=True, check=True)
        made.do("deploy/platform/compose", "up", "-d")
        yield made
    finally:
        made.do("deploy/platform/down", "--volumes")
    assert made.containers(f"face-assets.stack={STACK}") == []
    assert made.containers(f"com.docker.compose.project={STACK}") == []
    assert made.containers(f"face-assets.home={fingerprint(f'/var/lib/face-assets/{STACK}')[:8]}") == []


def test_a_commit_comes_to_an_answer_through_the_gateway_though_postgres_is_killed(stack: Stack) -> None:
    commit = git("rev-parse", "main", cwd=stack.folder / "faces.git").decode().strip()
    stack.wait("the commit's run begins", SECONDS, lambda: [run for run in stack.of(commit) if run["status"] == "STARTED"])
    stack.do("docker", "kill", f"{STACK}_postgres_1")
    assert until(lambda: not stack.tells_of_runs(), SECONDS)
    stack.do("docker", "start", f"{STACK}_postgres_1")
    stack.wait("a run succeeds", SECONDS_TO_LIVE, lambda: [run for run in stack.of(commit) if run["status"] == "SUCCESS"])
    assert stack.asked() == "v1.0.0"
    stack.wait(
        "Prometheus sees servers, gateway and platform", SECONDS, lambda: stack.seen("up == 1") == {"triton", "gateway", "face-assets"}
    )
    stack.wait("Prometheus sees the traffic", SECONDS, lambda: stack.seen("sum by (job) (face_assets_photos_total) > 0") == {"triton"})
    stack.wait("ended runs are swept", SECONDS, lambda: not stack.containers(f"face-assets.stack={STACK}"))
    people = stack.read("WEB", "/api/v1/people", SIGNED_IN)["total"]
    for service, path in (("UI", "/graphql"), ("PROMETHEUS", "/-/ready"), ("WEB", "/"), ("WEB", "/api/v1/people")):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            stack.read(service, path, {})
    key = {"Authorization": f"Bearer {stack.key('identify', 'people')}", "Content-Type": "application/octet-stream"}
    assert stack.read("HTTP", "/api/v1/people", key)["total"] == people > 0
    photo = next((stack.folder / "photos").rglob("*.jpg")).read_bytes()
    assert stack.read("HTTP", "/api/v1/recognize", key, photo)["release"] == "v1.0.0"
    assert stack.command("prune") == "Nothing has been unused for 30 days.\n"


def test_a_killed_run_container_is_launched_again(stack: Stack) -> None:
    write_people(stack.folder / "added", 3, 1, first_photo=4)
    commit_photos(stack.folder / "work", stack.folder / "added", "Add photos")
    git("push", "-q", stack.folder / "faces.git", "main", cwd=stack.folder / "work")
    commit = git("rev-parse", "main", cwd=stack.folder / "work").decode().strip()
    first = stack.wait("the run begins", SECONDS, lambda: [run for run in stack.of(commit) if run["status"] == "STARTED"])[0]
    assert stack.has_settings(f"{STACK}_daemon_1")
    assert stack.has_settings(first["tags"]["docker/container_id"])
    stack.do("docker", "kill", first["tags"]["docker/container_id"])
    again = stack.wait("it is launched again", SECONDS, lambda: [run for run in stack.of(commit) if run["runId"] != first["runId"]])[0]
    assert again["tags"]["dagster/parent_run_id"] == first["runId"]
    stack.wait("that one succeeds", SECONDS_TO_LIVE, lambda: [run for run in stack.of(commit) if run["status"] == "SUCCESS"])
    assert stack.asked() != "v1.0.0"
    stack.wait("ended runs are swept", SECONDS, lambda: not stack.containers(f"face-assets.stack={STACK}"))
