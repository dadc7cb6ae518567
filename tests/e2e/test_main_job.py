"""From a commit of photos to a verified answer of the real server, by the command, on synthetic people."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from face_assets.core.direct_connections import open_url
from face_assets.dataset.repository_creation import commit_photos
from face_assets.demo.synthetic import write_people
from face_assets.evaluation.feature_histograms import FEATURES, bins_of
from face_assets.monitoring import prometheus
from face_assets.monitoring.dashboards import DASHBOARDS
from face_assets.registry.git import git
from face_assets.serving.runtime.recorder import Recorder
from tests.waiting import until

PEOPLE, PHOTOS = 24, 5
PARAMS = """
split: {validation: 0.1, test: 0.45, min_test_people: 3}  # 10 people: enough for a reference
detector: {image_size: 80, margin: 16, align: upright, max_rejected: 0.3}
embedder: {weights: scratch, embedding_size: 64}
train: {unfreeze: all, epochs: 2, batch_size: 32, learning_rate: 0.002, margin: 0.2, scale: 16.0, photos_per_person: 4,
  embedding_regularization: 0.0}
evaluation: {far: 0.05, fpir: 0.1, min_auc: 0.4, min_accuracy: 0.4, max_regression: 1.0,
  stress: {conditions: {resolution: [24], sunglasses: []}, photos: 6}}
gallery: {action: report}
serving: {golden_requests: 6, max_latency_ms: 5000}
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def live(cli: Any) -> dict[str, Any]:
    """A data repository whose first commit is live."""
    write_people(cli.folder / "photos", PEOPLE, PHOTOS)
    write_people(cli.folder / "unseen", 3, 1, first_photo=PHOTOS)
    (cli.folder / "params.yaml").write_text(PARAMS)
    cli("init", "data", "--photos", "photos", "--params", "params.yaml")
    report = cli.json("run", "--repo", "data")
    assert report["success"]
    return report  # type: ignore[no-any-return]


def set_params(cli: Any, text: str) -> None:
    (cli.folder / "data" / "params.yaml").write_text(text)
    git("commit", "-q", "-am", "Change parameters", cwd=cli.folder / "data")


def test_the_first_commit_goes_live(cli: Any, live: dict[str, Any]) -> None:
    assert live["assets"]["triton_deployment"]["live"] == "v1.0.0"
    assert live["assets"]["aligned_faces"]["detected_now"] == PEOPLE * PHOTOS
    status = cli.json("status")
    assert (status["server"]["ready"], status["server"]["live"], status["production"]["version"]) == (True, "v1.0.0", "v1.0.0")


DVC_OBJECT = re.compile(r"[0-9a-f]{30}(\.dir)?")  # of its cache: 0444 whatever the umask, in folders that are closed
READABLE = ("serving/traffic/",)  # histograms, of which no face can be made


def test_nobody_else_reads_the_home_and_everybody_reads_what_was_given_away(cli: Any, live: dict[str, Any]) -> None:
    home = Path(cli.environment["FACE_ASSETS_HOME"])
    found = {path: path.lstat() for path in (home, *home.rglob("*")) if not path.is_symlink()}
    objects = {(stat.st_dev, stat.st_ino) for path, stat in found.items() if DVC_OBJECT.fullmatch(path.name)}
    opened = {
        str(path.relative_to(home)) for path, stat in found.items() if stat.st_mode & 0o077 and (stat.st_dev, stat.st_ino) not in objects
    }
    assert {path for path in opened if not path.startswith(READABLE)} == set()
    shared = [*(cli.folder / "data.dvc-remote").rglob("*"), *(cli.folder / "data" / ".git").rglob("*"), cli.folder / "data" / "params.yaml"]
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in shared)


def test_every_materialization_says_where_it_comes_from(live: dict[str, Any]) -> None:
    for asset, facts in live["assets"].items():
        assert {"commit", "dataset_version", "parameters", "code_version", "seed", "environment", "path"} <= set(facts), asset
        assert facts["commit"] == live["commit"]
    faces = live["assets"]["aligned_faces"]
    assert f"/faces?asset=aligned_faces&commit={live['commit']}#sample" in faces["sample"]
    assert "face-assets up" in faces["pictures"]


def test_the_event_log_holds_no_face(cli: Any, live: dict[str, Any]) -> None:
    files = [file for file in (cli.folder / "home" / "dagster").rglob("*.db*") if file.is_file()]
    assert files and not [file for file in files if b"data:image/jpeg" in file.read_bytes()]


def test_an_answer_is_explained_down_to_the_photos(cli: Any, live: dict[str, Any]) -> None:
    photo = next((cli.folder / "photos").rglob("*.jpg"))
    found = cli.json("why", photo, "--people", "2")
    first, second = found["faces"][0]["nearest"]
    assert first["score"] > second["score"]
    assert sum(one["share"] for one in first["photos"]) == pytest.approx(first["score"], abs=1e-3)
    if first["name"] == photo.parent.name:
        assert first["photos"][0]["path"].endswith(photo.name), "the photo itself carries most"
    assert found["origin"]["commit"] == live["commit"]
    assert f"at commit {live['commit']}" in cli("why", photo)


def test_the_live_server_answers_about_photos(cli: Any, live: dict[str, Any]) -> None:
    photos = sorted((cli.folder / "unseen").rglob("*.jpg"))
    answers = cli.json("identify", *photos)
    assert [answer["release"] for answer in answers] == ["v1.0.0"] * len(photos)
    one = next((cli.folder / "photos").rglob("*.jpg"))
    found = json.loads(cli.run("verify", one, one, "--json").stdout)  # of so poor a network the threshold may be beyond every score
    assert found["score"] > 0.99 and found["same"] == (found["score"] >= found["threshold"])
    (cli.folder / "no photo.jpg").write_text("text")
    assert "cannot be used" in cli("identify", "no photo.jpg", status=1)


def test_the_event_log_alone_tells_the_lineage(cli: Any, live: dict[str, Any]) -> None:
    found = cli.json("lineage", "live")
    assert found["commit"] == live["commit"]
    assert found["chain"][0]["asset"] == "dataset_version"
    assert len(found["chain"]) == 9
    assert found["chain"][0]["facts"]["dataset_version"] == live["assets"]["dataset_version"]["dataset_version"]
    assert "v9.9.9" in cli("lineage", "v9.9.9", status=1)


def test_an_unchanged_commit_makes_nothing_again(cli: Any, live: dict[str, Any]) -> None:
    again = cli.json("run")
    made = {asset for asset, facts in again["assets"].items() if facts.get("made_now")}
    assert made <= {"label_audit", "gallery_audit", "embedder_evaluation"}  # which use the release that is in production by now
    assert again["assets"]["recognizer_release"]["release"] == "v1.0.0"
    assert again["assets"]["recognizer_release"]["new"] is False
    assert again["assets"]["triton_deployment"]["reason"] == "was live already"


def test_added_photos_alone_are_detected_and_a_release_follows_and_can_be_rolled_back(cli: Any, live: dict[str, Any]) -> None:
    write_people(cli.folder / "added", 4, 1, first_photo=PHOTOS + 1)
    commit = commit_photos(cli.folder / "data", cli.folder / "added", "Add four photos")
    report = cli.json("run")
    assert report["commit"] == commit
    assert report["assets"]["aligned_faces"]["detected_now"] == 4
    version = report["assets"]["triton_deployment"]["live"]
    assert report["assets"]["face_embedder"]["kept"]["release"] == "v1.0.0"  # for so few photos
    assert version == "v1.1.0"
    log = git("log", "-1", "--format=%P", f"face-recognizer@{version}", cwd=cli.folder / "data").decode().strip()
    assert log == commit
    assert git("branch", "--contains", f"face-recognizer@{version}", cwd=cli.folder / "data").decode() == ""
    diff = subprocess.run(
        [sys.executable, "-m", "dvc", "metrics", "diff", "--all", "--json", "face-recognizer@v1.0.0", f"face-recognizer@{version}"],
        cwd=cli.folder / "data", capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "auc" in json.loads(diff.stdout)["metrics.json"]
    back = cli.json("rollback", "--reason", "a test")
    assert back["version"] == "v1.0.0"
    assert cli.json("status")["server"]["live"] == "v1.0.0"
    assert cli.json("status")["production"]["held"]
    assert cli.json("promote", version.removeprefix("v"), "--follow")["success"]


def test_two_releases_are_compared_down_to_the_pairs(cli: Any, live: dict[str, Any]) -> None:
    versions = [row["version"] for row in reversed(cli.json("releases"))][:2]
    found = cli.json("compare", *versions)
    assert found["figures"]["auc"]["first"] and found["figures"]["auc"]["second"]
    assert all(one["loss"] > 0 for one in found["regressions"])
    cli("compare", *versions, "--output", "page.html")
    page = (cli.folder / "page.html").read_text()
    assert "data:image/png;base64" in page
    assert "Pairs that became worse" in page
    assert "v9.9.9" in cli("compare", versions[0], "v9.9.9", status=1)
    assert "ends in .html or .md" in cli("compare", *versions, "--output", "page.txt", status=1)


def test_a_gate_that_fails_leaves_production_untouched_and_says_why(cli: Any, live: dict[str, Any]) -> None:
    before = cli.json("status")["server"]["live"]
    set_params(cli, PARAMS.replace("min_auc: 0.4", "min_auc: 0.9999"))
    done = cli.run("run")
    assert done.returncode == 3
    assert "evaluation.min_auc" in done.stderr
    assert cli.json("status")["server"]["live"] == before
    assert len(cli.json("releases")) == 2


LOOK = """
from face_assets.automation.health_sensor import find_trouble
from face_assets.registry.workspace import Workspace

print(find_trouble(Workspace.load(), ask=True).desired.release.version)
"""


def test_a_deployment_over_its_budget_keeps_the_live_release_here_and_is_tried_again(cli: Any, live: dict[str, Any]) -> None:
    """Production says what the gate said; this machine says what it serves, and why."""
    before = cli.json("status")["server"]["live"]
    set_params(cli, PARAMS.replace("max_latency_ms: 5000", "max_latency_ms: 0.001"))
    done = cli.run("run")
    assert done.returncode == 3
    assert "latency" in done.stderr
    status, slow = cli.json("status"), cli.json("releases")[0]
    server, production = status["server"], status["production"]
    assert (server["live"], server["wanted"], production["version"], slow["stage"]) == (
        before,
        slow["version"],
        slow["version"],
        "production",
    )
    assert server["why"].startswith("latency: ")
    (machine,) = production["machines"]
    assert (machine["live"], machine["wanted"], machine["trouble"]) == (before, slow["version"], "deployment check failed: latency")
    asked = subprocess.run([sys.executable, "-c", LOOK], env=cli.environment, capture_output=True, text=True, check=True)
    assert asked.stdout == f"{slow['version']}\n"
    cli("promote", before, "--follow", "--reason", "too slow here")
    status = cli.json("status")
    production = status["production"]
    assert (production["version"], production["decided_by"], production["reason"]) == (before, "person", "too slow here")
    assert (production["held"], status["server"]["why"], production["machines"][0]["trouble"]) == (None, "", "")
    set_params(cli, PARAMS)


def test_a_killed_server_comes_back_with_what_production_says(cli: Any, live: dict[str, Any]) -> None:
    before = cli.json("status")["server"]
    subprocess.run(["kill", "-9", str(before["pid"])], check=True)
    assert until(lambda: cli.run("status").returncode == 1)
    assert cli.json("status", status=1)["server"]["ready"] is False
    assert before["live"] in cli("up", "--no-ui")
    assert cli.json("status")["server"]["ready"] is True


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run", "--repo", "nothing-here"), "nothing-here"),
        (("run", "--repo", "photos"), "not a git repository"),
        (("run", "--commit", "no-such-branch"), "no-such-branch"),
        (("promote", "v7.0.0"), "v7.0.0"),
        (("init", "data", "--photos", "photos"), "already"),
        (("init", "other", "--photos", "nowhere"), "nowhere"),
        (("identify", "nowhere.jpg"), "no such file"),
        (("verify", "nowhere.jpg", "params.yaml"), "nowhere.jpg"),
    ],
)
def test_a_mistake_gets_a_sentence(cli: Any, live: dict[str, Any], arguments: tuple[str, ...], sentence: str) -> None:
    assert sentence in cli(*arguments, status=1)


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ("train: {epoch: 1}", "train.epoch"),
        ("detector: {margin: wide}", "detector.margin"),
        (PARAMS.replace("weights: scratch", "weights: /nowhere/weights.pt"), "/nowhere/weights.pt"),
    ],
)
def test_a_mistake_in_the_parameters_is_named(cli: Any, live: dict[str, Any], params: str, sentence: str) -> None:
    kept = (cli.folder / "data" / "params.yaml").read_text()
    set_params(cli, params)
    assert sentence in cli("run", status=1)
    set_params(cli, kept)


def test_what_nobody_needs_is_pruned(cli: Any, live: dict[str, Any]) -> None:
    before = cli.json("status")["server"]["live"]
    assert cli("prune") == "Nothing has been unused for 30 days.\n"
    assert "x>=0" in cli("prune", "--days", "-1", status=2)
    home = Path(cli.environment["FACE_ASSETS_HOME"])
    left = home / "artifacts" / "face_embedder" / ".partial-killed-x"
    left.mkdir()
    (left / "file").write_bytes(b"0" * 2_000_000)
    os.utime(left, (0, 0))
    assert cli.json("prune", "--dry-run")["removed"] == {"leftovers": 1}
    assert cli("prune") == "2 MB are free: removed leftovers 1.\n"
    assert not left.exists()
    assert cli.json("status")["server"]["live"] == before


def leave_an_hour_of_traffic(folder: Path, release: str) -> None:
    """Writes an hour of traffic of two hours ago, by the recorder with an earlier clock."""
    shutil.rmtree(folder, ignore_errors=True)  # else an hour of few photos that ended meanwhile may be reported last
    recorder = Recorder(folder, release, lambda event, **facts: pytest.fail(event), clock=lambda: time.time() - 2 * 3600)
    middles = [(feature.low + feature.high) / 2 for feature in FEATURES]
    for bins in bins_of(np.random.default_rng(0).normal(middles, 0.1, size=(120, len(FEATURES))).astype(np.float32)):
        recorder.add(bins, 1, 1)
    assert recorder.flush()


def test_down_leaves_nothing_and_up_brings_everything_back(cli: Any, live: dict[str, Any]) -> None:
    before = cli.json("status")["server"]["live"]
    assert "server" in cli("down")
    assert "Nothing" in cli("down")
    leave_an_hour_of_traffic(Path(cli.environment["FACE_ASSETS_HOME"]) / "serving" / "traffic", before)  # before a sensor looks, for below
    said = cli("up")
    assert "UI: http" in said
    assert before in said
    status = cli.json("status")
    assert status["ui"]["up"] is True
    assert status["web"]["up"] is True
    photo = next((cli.folder / "unseen").rglob("*.jpg"))
    (asked,) = cli.json("identify", photo)
    address, kind = f"{status['web']['address']}/api/v1/recognize", {"Content-Type": "image/jpeg"}
    with open_url(urllib.request.Request(address, photo.read_bytes(), kind), timeout=60) as response:
        found = json.load(response)
    face, match = asked["faces"][0], found["faces"][0]["match"]
    assert (found["release"], match["name"], round(match["score"], 4)) == (before, face["identity"], face["score"])
    assert 0 < match["stranger_rate"] <= 1


def commit_feedback(cli: Any, release: str) -> None:
    """Answers looked at blindly, one of each kind wrong, in the inbox of the data repository."""
    rows = [("Ann", "Ann"), ("Ann", "Bob"), ("", "(stranger)"), ("", "Bob")]
    said = cli.folder / "said.csv"
    said.write_text("answered,truth,release,sampled\n" + "".join(f"{answered},{truth},{release},yes\n" for answered, truth in rows))
    cli("feedback", "--file", said, "--repo", "data")
    git("add", "inbox", cwd=cli.folder / "data")
    git("commit", "-q", "-m", "Say what was true", cwd=cli.folder / "data")


def test_prometheus_sees_the_platform_and_every_panel_of_the_dashboards_has_data(cli: Any, live: dict[str, Any]) -> None:
    """With UI, daemon and server up and an hour of traffic past, as the test before left them."""
    if not shutil.which("prometheus"):
        sentence = "no prometheus on the PATH: apt-get install prometheus"
        pytest.fail(sentence) if os.environ.get("CI") else pytest.skip(sentence)
    said = cli("up", "--monitoring")
    address = f"http://127.0.0.1:{cli.environment['FACE_ASSETS_PROMETHEUS_PORT']}"
    assert f"Prometheus: {address}" in said
    release = cli.json("status")["server"]["live"]
    commit_feedback(cli, release)
    photos = sorted((cli.folder / "photos").rglob("*.jpg"))[:20]
    lacking = {query: panel.title for _, panels in DASHBOARDS.values() for panel in panels for query in panel.queries.values()}
    ends = time.monotonic() + 600  # of them half a minute for the sensor of the traffic to look, and a run for its hour
    while lacking and time.monotonic() < ends:
        cli("identify", *photos)
        found = {query: prometheus.query(address, "query", query=query)["result"] for query in lacking}
        lacking = {query: title for query, title in lacking.items() if not any(one["value"][1] != "NaN" for one in found[query])}
    assert not lacking
    rules = [rule for group in prometheus.query(address, "rules")["groups"] for rule in group["rules"]]
    assert {rule["health"] for rule in rules} == {"ok"}
    os.kill(json.loads((Path(cli.environment["FACE_ASSETS_HOME"]) / "run" / "exporter.json").read_text())["pid"], signal.SIGKILL)
    assert until(lambda: "ExporterDown" in {alert["labels"]["alertname"] for alert in prometheus.query(address, "alerts")["alerts"]}, 600)
    assert {"prometheus"} < set(cli("down").removeprefix("Stopped: ").removesuffix(".\n").split(", "))
    cli("up", "--no-ui")  # what comes after asks the server


def test_all_but_the_event_log_comes_back_from_the_repository_and_its_remote(cli: Any, live: dict[str, Any]) -> None:
    before = cli.json("status")["server"]["live"]
    cli("down")
    home = Path(cli.environment["FACE_ASSETS_HOME"])
    for folder in home.iterdir():
        if folder.name not in ("dagster", "settings.json"):
            shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
    assert before in cli("up", "--no-ui")
    assert cli.json("status")["server"]["ready"] is True


def test_the_same_release_is_served_from_containers_to_who_has_a_key(cli: Any, live: dict[str, Any], base_image: str) -> None:
    before = cli.json("status")["server"]["live"]
    photo = next((cli.folder / "photos").rglob("*.jpg"))
    expected = cli.json("identify", photo)
    inside = type(cli)({**cli.environment, "FACE_ASSETS_TARGET": "docker"}, cli.folder)
    small = type(cli)({**inside.environment, "FACE_ASSETS_DOCKER_MEMORY_MB": "128"}, cli.folder)
    try:
        assert "out of memory" in small("up", "--no-ui", status=3)
        status = cli.json("status")  # the embedded server gave up its ports, and has them again
        assert (status["server"]["ready"], status["server"]["live"], status["production"]["version"]) == (True, before, before)
        key = inside("keys", "add", "door").split()[0]
        assert before in inside("up", "--no-ui")
        status = inside.json("status")["server"]
        assert (status["target"], status["ready"], status["live"]) == ("docker", True, before)
        assert inside.json("identify", photo)[0]["faces"][0]["identity"] == expected[0]["faces"][0]["identity"]
        asked = urllib.request.Request(f"http://{status['http']}/v2/models/face_recognizer", headers={"Authorization": f"Bearer {key}"})
        with urllib.request.urlopen(asked, timeout=20) as answer:
            assert answer.status == 200
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"http://{status['http']}/v2/models/face_recognizer", timeout=20)
        assert inside.json("keys", "list")["refused"] == 1
        assert "no more" in inside("keys", "revoke", "door")
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(asked, timeout=20)
        assert before in cli("up", "--no-ui")  # and back: the embedded server takes the ports again
        assert cli.json("status")["server"]["ready"] is True
    finally:
        inside("down")
