"""Runs launched on a live webserver, by the command and by the mutations that docs/how-to/graphql.md shows, and followed to their end."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from face_assets.automation.graphql import Webserver
from face_assets.automation.services import DAEMON, record
from face_assets.core import processes
from face_assets.core.errors import UserError
from face_assets.core.settings import load_settings
from face_assets.demo.synthetic import write_people
from face_assets.registry.git import git
from face_assets.storage.home import Home

PEOPLE, PHOTOS = 8, 3
PARAMS = """
split: {validation: 0.1, test: 0.4, min_test_people: 2}
detector: {image_size: 80, margin: 16, align: upright, max_rejected: 0.5}
"""
DOCUMENT = (Path(__file__).parents[2] / "docs" / "how-to" / "graphql.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def commit(cli: Any) -> str:
    """The commit of a data repository that a running webserver and daemon follow; no sensor runs it."""
    write_people(cli.folder / "photos", PEOPLE, PHOTOS)
    (cli.folder / "params.yaml").write_text(PARAMS)
    cli("init", "data", "--photos", "photos", "--params", "params.yaml")
    nothing = {"FACE_ASSETS_PRODUCTION_BRANCHES": "none", "FACE_ASSETS_EXPERIMENT_BRANCHES": "none"}
    cli.environment.update(nothing, FACE_ASSETS_REPO=str(cli.folder / "data"))
    cli("up", "--no-server")
    return git("rev-parse", "HEAD", cwd=cli.folder / "data").decode().strip()


def graphql(cli: Any, query: str, **variables: Any) -> Any:
    address = f"http://127.0.0.1:{cli.environment['FACE_ASSETS_UI_PORT']}/graphql"
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["data"]


def fenced(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)


def test_one_asset_is_launched_for_a_commit_and_followed_to_its_end(cli: Any, commit: str) -> None:
    report = cli.json("launch", "dataset_version", "--commit", commit[:10])
    assert (report["success"], report["status"], report["commit"], report["selection"]) == (True, "SUCCESS", commit, ["dataset_version"])
    assert report["assets"]["dataset_version"]["photos"] == PEOPLE * PHOTOS
    tags = graphql(cli, f'{{ runOrError(runId: "{report["run_id"]}") {{ ... on Run {{ tags {{ key value }} }} }} }}')["runOrError"]["tags"]
    found = {tag["key"]: tag["value"] for tag in tags}
    assert (found["dagster/partition"], found["face_assets/commit"], found["face_assets/trigger"]) == (commit, commit, "manual")


def test_a_launched_run_is_watched_by_the_beginning_of_its_id_and_told_again_when_it_is_over(cli: Any, commit: str) -> None:
    launched = cli.json("launch", "+aligned_faces", "--no-follow")
    assert launched["selection"] == ["aligned_faces", "dataset_version"]
    said = cli("watch", launched["run_id"][:9])
    assert re.search(rf"✓ dataset_version .* {PEOPLE * PHOTOS} photos of {PEOPLE} people", said)
    assert re.search(r"✓ aligned_faces .* faces", said)
    again = cli.json("watch", launched["run_id"])
    assert (again["success"], set(again["assets"])) == (True, {"dataset_version", "aligned_faces"})


@pytest.fixture(scope="module")
def launched(cli: Any, commit: str) -> dict[str, str]:
    """Runs by what they show, launched at once so that they need not wait for one another."""
    (mutation,), (variables,) = fenced("graphql"), fenced('json title="variables"')
    documented = graphql(cli, mutation, **json.loads(variables.replace("COMMIT", commit)))["launchRun"]
    assert documented["__typename"] == "LaunchRunSuccess"
    without_tags: dict[str, Any] = json.loads(variables)["params"] | {"executionMetadata": {"tags": []}}
    without = graphql(cli, mutation, params=without_tags)["launchRun"]
    mixed = cli.json("launch", "dataset_version", "triton_model_repository", "--no-follow")
    return {"documented": documented["run"]["runId"], "without a commit": without["run"]["runId"], "mixed": mixed["run_id"]}


def test_the_documented_mutation_launches(cli: Any, commit: str, launched: dict[str, str]) -> None:
    report = cli.json("watch", launched["documented"])
    assert (report["commit"], set(report["assets"])) == (commit, {"dataset_version", "aligned_faces"})


def test_a_run_without_a_commit_says_what_is_missing(cli: Any, launched: dict[str, str]) -> None:
    assert "the run names no commit" in cli("watch", launched["without a commit"], status=1)


def test_what_follows_the_stage_runs_beside_what_is_kept_by_commit_and_a_failure_says_why(cli: Any, launched: dict[str, str]) -> None:
    report = cli.json("watch", launched["mixed"], status=1)
    assert set(report["assets"]) == {"dataset_version"}
    assert report["reasons"] == [
        "triton_model_repository: No release is in production yet: run a commit, or `face-assets promote VERSION`."
    ]


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_documented_commands_run_as_they_stand(cli: Any, commit: str) -> None:
    here = {"GRAPHQL": f"http://127.0.0.1:{cli.environment['FACE_ASSETS_UI_PORT']}/graphql", "COMMIT": commit}
    script = "set -e\n" + "echo\n".join(fenced("sh"))
    assert processes.stop(record(Home(Path(cli.environment["FACE_ASSETS_HOME"])), DAEMON))  # a run that is starting cannot be terminated
    done = subprocess.run(["bash"], input=script, cwd=cli.folder, env={**os.environ, **here}, capture_output=True, text=True, check=True)
    cli("up", "--no-server")
    answers = [next(iter(json.loads(line)["data"].values())) for line in done.stdout.splitlines() if line]
    kinds = [answer["__typename"] for answer in answers if isinstance(answer, dict)]
    assert kinds[0] in ("AddDynamicPartitionSuccess", "DuplicateDynamicPartitionError")
    assert kinds[1:] == ["LaunchRunSuccess", "Run", "LaunchRunSuccess", "TerminateRunSuccess"]
    launched = [answer["run"]["runId"] for answer in answers if isinstance(answer, dict) and "run" in answer]
    assert cli.json("watch", launched[0])["success"]
    assert "canceled" in cli("watch", launched[1], status=1)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("launch", "aligned_facs"), "did you mean aligned_faces?"),
        (("launch", "group:dataset and"), "no asset selection"),
        (("launch", "dataset_version", "--commit", "no-such-branch"), "'no-such-branch' names no commit"),
        (("launch", "--job", "no_such_job"), "there are commit_to_evaluation, commit_to_live"),
        (("launch", "face_gallery", "--job", "commit_to_evaluation"), "does not make face_gallery"),
        (("launch", "face_gallery"), "needs embedder_evaluation, which has not been made"),
        (("launch", "triton_deployment", "--commit", "HEAD"), "Leave out --commit"),
        (("watch", "0123456789"), "No run of this state directory begins with '0123456789'"),
    ],
)
def test_a_mistake_gets_a_sentence(cli: Any, commit: str, arguments: tuple[str, ...], sentence: str) -> None:
    assert sentence in cli(*arguments, status=1)


def test_without_a_webserver_the_way_to_start_it_is_named(cli: Any, commit: str, free_ports: Callable[[int], list[int]]) -> None:
    elsewhere = type(cli)({**cli.environment, "FACE_ASSETS_UI_PORT": str(free_ports(1)[0])}, cli.folder)
    assert "`face-assets up` starts it" in elsewhere("launch", "dataset_version", status=1)


def test_a_watcher_leaves_and_the_queued_run_goes_on(cli: Any, commit: str) -> None:
    assert processes.stop(record(Home(Path(cli.environment["FACE_ASSETS_HOME"])), DAEMON))
    run = cli.json("launch", "dataset_version", "--no-follow")["run_id"]
    program = Path(sys.executable).with_name("face-assets")
    command = [program, "watch", run]
    hear = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # which a shell's background jobs are deaf to, and what they start
    with subprocess.Popen(command, env=cli.environment, stderr=subprocess.PIPE, text=True, preexec_fn=hear) as watcher:
        assert watcher.stderr is not None
        for line in watcher.stderr:
            if "`face-assets up` starts it" in line:  # the daemon, which starts queued runs
                break
        watcher.send_signal(signal.SIGINT)
        assert "the run goes on" in watcher.stderr.read()
    assert watcher.returncode == 130
    cli("up", "--no-server")
    assert cli.json("watch", run)["success"]


@pytest.fixture
def broken(home: Path, free_ports: Callable[[int], list[int]], monkeypatch: pytest.MonkeyPatch) -> Iterator[Webserver]:
    """A webserver whose code location does not load."""
    (home / "dagster").mkdir(parents=True)
    (home / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    (home / "broken.py").write_text('raise RuntimeError("the disk is on fire")\n')
    (home / "workspace.yaml").write_text("load_from: [{python_file: {relative_path: broken.py, location_name: face-assets}}]\n")
    (port,) = free_ports(1)
    monkeypatch.setenv("FACE_ASSETS_UI_PORT", str(port))
    program = Path(sys.executable).with_name("dagster-webserver")
    environment = {**os.environ, "DAGSTER_HOME": str(home / "dagster")}
    with subprocess.Popen([program, "-p", str(port), "-w", home / "workspace.yaml"], env=environment, cwd=home) as server:
        webserver = Webserver(load_settings())
        while server.poll() is None:
            try:
                urllib.request.urlopen(f"{webserver.address}/server_info", timeout=5).close()
                break
            except OSError:
                time.sleep(0.3)
        yield webserver
        server.terminate()


def test_code_that_does_not_load_is_named_with_its_reason(broken: Webserver) -> None:
    with pytest.raises(UserError, match=r"face-assets did not load: .*the disk is on fire"):
        broken.assets()
