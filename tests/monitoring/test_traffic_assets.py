"""The assets of the traffic and their sensors, on a real repository and instance: an hour, its verdict, and its notification."""

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from face_assets.automation.drift_sensors import drift_sensor, traffic_sensor
from face_assets.core.files import write_json
from face_assets.core.project_files import ROOT
from face_assets.core.settings import load_settings
from face_assets.evaluation.feature_histograms import FEATURES, FeatureHistograms, bins_of
from face_assets.evaluation.reference import make_reference
from face_assets.monitoring import reports
from face_assets.monitoring.assets import drift_report, live_traffic
from face_assets.monitoring.drift import DriftReport
from face_assets.monitoring.reports import write_reports
from face_assets.notification.notifier import send_unsent
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.registry.git import git
from face_assets.registry.releases import Digests, Release
from face_assets.registry.workspace import Workspace
from face_assets.serving.runtime.recorder import window_name
from tests.conftest import copied, name_somebody
from tests.far_end import FarEnd

HOUR = 3600
PEOPLE, PHOTOS = 40, 5


def drift(window: str) -> DriftReport:
    return DriftReport(window, "v1.0.0", "drift", "They differ", 150, 0, 0, 150, 150)


def seen(photos: int, seed: int, shift: float = 0.0) -> Any:
    random = np.random.default_rng(seed)
    low = np.array([feature.low for feature in FEATURES])
    spread = np.array([feature.high - feature.low for feature in FEATURES]) / 10
    return bins_of((low + spread * (5 + shift + random.normal(size=(photos, len(FEATURES))))).astype(np.float32))


@dataclass
class Traffic:
    """A release with a reference in production, one without, and what a server left."""

    workspace: Workspace
    releases: list[Release]
    instance: dg.DagsterInstance
    repository: Path
    far_end: FarEnd
    definitions: dg.Definitions
    cursors: dict[str, str | None] = field(default_factory=dict)
    said: str = ""

    @property
    def now(self) -> int:
        return int(time.time()) // HOUR * HOUR

    def leave(self, hours_ago: int, photos: int = 150, shift: float = 0.0, release: str = "v1.0.0") -> str:
        window = self.now - hours_ago * HOUR
        histograms = FeatureHistograms(release, window, HOUR)
        for row in seen(photos, abs(hours_ago), shift):
            histograms.add(row, 1, 1)
        histograms.save(self.workspace.home.traffic / window_name(window) / f"{release}.x.npz")
        return window_name(window)

    def report(self, window: str) -> dg.AssetCheckEvaluation:
        resources = {"platform": WorkspaceResource()}
        self.instance.add_dynamic_partitions("hour", [window])
        done = dg.materialize([live_traffic, drift_report], instance=self.instance, partition_key=window, resources=resources)
        assert done.success
        return done.get_asset_check_evaluations()[0]

    def look(self, sensor: dg.SensorDefinition) -> list[dg.RunRequest]:
        """Requests of a tick, with its partitions checked and new ones added as the daemon does."""
        with dg.build_sensor_context(
            instance_ref=self.instance.get_ref(),
            cursor=self.cursors.get(sensor.name),
            definitions=self.definitions,
            resources={"platform": WorkspaceResource()},
        ) as context:
            found = sensor.evaluate_tick(context)
        for added in found.dynamic_partitions_requests or []:
            self.instance.add_dynamic_partitions(added.partitions_def_name, list(added.partition_keys))
        self.cursors[sensor.name] = found.cursor
        self.said = found.skip_message or ""
        return list(found.run_requests or [])

    def forget_messages(self) -> None:
        (self.workspace.home.root / "notifications.json").unlink(missing_ok=True)

    def metadata(self, asset: str, window: str) -> dict[str, Any]:
        wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[window])
        (record,) = self.instance.fetch_materializations(wanted, limit=1).records
        assert record.asset_materialization
        return {name: value.value for name, value in record.asset_materialization.metadata.items()}


@pytest.fixture(scope="module")
def traffic(original: Path, bundle: Callable[[bytes], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traffic]:
    """Made once; each test begins with a folder without traffic."""
    sys.path.insert(0, str(ROOT))
    from definitions import defs as definitions

    folder, far_end = tmp_path_factory.mktemp("traffic"), FarEnd()
    far_end.may_answer.set()
    far_end.up()
    with pytest.MonkeyPatch.context() as patched, dg.instance_for_test() as instance:
        name_somebody(patched)
        copied(original, folder)
        (folder / "data" / "params.yaml").write_text("monitoring: {consecutive_windows: 2, retrain: true}\n")
        git("commit", "-q", "-a", "-m", "Watch", cwd=folder / "data")
        patched.setenv("FACE_ASSETS_HOME", str(folder / "home"))
        patched.setenv("FACE_ASSETS_REPO", str(folder / "data"))
        patched.setenv("FACE_ASSETS_NOTIFY_WEBHOOK", far_end.url())
        workspace = Workspace(load_settings())
        yield Traffic(workspace, _releases(workspace, bundle), instance, folder / "data", far_end, definitions)
    far_end.down()


def _releases(workspace: Workspace, bundle: Callable[[bytes], Path]) -> list[Release]:
    workspace.repository.refresh()
    commit = workspace.repository.resolve("HEAD")
    reference = make_reference(seen(PEOPLE * PHOTOS, 99), np.repeat(np.arange(PEOPLE), PHOTOS))
    assert reference
    releases = []
    for name in (b"1", b"2"):
        folder = bundle(name)
        if name == b"1":
            reference.save(folder / "reference.npz")
        releases.append(workspace.releases.register(folder, commit, name.decode(), Digests(name.decode(), "a", "a"), {"auc": 0.9}, {}))
    workspace.stages.assign("v1.0.0", f"The gate let it through, for commit {commit}")
    version = {"number": 1, "release": "v1.0.0", "release_commit": releases[0].commit, "digest": ""}
    write_json(workspace.home.serving / "state.json", {"live": version, "previous": None})
    return releases


@pytest.fixture(autouse=True)
def _quiet(traffic: Traffic) -> None:
    traffic.cursors.clear()
    traffic.far_end.posts.clear()
    traffic.forget_messages()
    for folder in (traffic.workspace.home.traffic, traffic.workspace.home.monitoring):
        shutil.rmtree(folder, ignore_errors=True)


def test_an_hour_of_the_same_kind_is_green_and_of_another_red(traffic: Traffic) -> None:
    same, other = traffic.leave(3), traffic.leave(2, shift=1.5)
    assert traffic.report(same).passed
    red = traffic.report(other)
    assert not red.passed
    assert red.severity == dg.AssetCheckSeverity.ERROR
    assert "sharpness" in (red.description or "")
    assert traffic.metadata("live_traffic", other)["photos"] == 150
    told = traffic.metadata("drift_report", other)
    assert (told["drift"], told["release"]) == (1, "v1.0.0")
    assert told["psi_brightness"] > traffic.metadata("drift_report", same)["psi_brightness"]
    assert told["histograms"].startswith("![drift](data:image/png;base64,")
    assert (reports.latest(traffic.workspace.home.monitoring) or pytest.fail()).window == other


def test_where_nothing_can_be_said_the_check_says_why(traffic: Traffic) -> None:
    traffic.leave(4, release="v2.0.0")
    old = traffic.report(traffic.leave(4, photos=10))  # the release with most photos comes first
    assert (old.passed, old.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "v2.0.0 has no reference.npz" in (old.description or "")
    assert "10 photos, monitoring.min_photos asks for 100" in (old.description or "")
    assert "is not registered" in (traffic.report(traffic.leave(5, release="v9.0.0")).description or "")
    quiet = traffic.report(window_name(traffic.now - 9 * HOUR))
    assert quiet.passed
    assert quiet.description == "no traffic in this hour"


def test_finished_hours_are_asked_for_once(traffic: Traffic) -> None:
    windows = [traffic.leave(hours) for hours in (4, 3)]
    traffic.leave(0)
    asked = traffic.look(traffic_sensor)
    assert [request.partition_key for request in asked] == windows
    assert asked[0].tags["face_assets/name"] == f"traffic of {windows[0]} UTC"
    assert set(windows) <= set(traffic.instance.get_dynamic_partitions("hour"))
    assert traffic.look(traffic_sensor) == []
    assert "ended" in traffic.said


def test_hours_of_an_earlier_version_stay_in_the_list(traffic: Traffic) -> None:
    """They were windows of time, and none of them was added as a partition."""
    before, now = window_name(traffic.now - 200 * HOUR), traffic.leave(3)
    for known in traffic.instance.get_dynamic_partitions("hour"):
        traffic.instance.delete_dynamic_partition("hour", known)
    traffic.instance.report_runless_asset_event(dg.AssetMaterialization("drift_report", partition=before))
    traffic.look(traffic_sensor)
    assert {before, now} <= set(traffic.instance.get_dynamic_partitions("hour"))


def test_a_clock_that_stood_ahead_stops_no_look_at_the_hours_after_it(traffic: Traffic) -> None:
    ahead = traffic.leave(-365 * 24)
    windows = [traffic.leave(hours) for hours in (30, 4, 3)]
    write_reports(traffic.workspace.home.monitoring, ahead, [replace(drift(ahead), verdict="no_drift")])
    traffic.cursors = {"traffic_sensor": ahead, "drift_sensor": f"v1.0.0 {ahead}"}
    asked = traffic.look(traffic_sensor)
    assert [(request.run_key, request.partition_key) for request in asked] == [(name, name) for name in windows]
    assert traffic.look(traffic_sensor) == []
    for name in windows[1:]:
        write_reports(traffic.workspace.home.monitoring, name, [drift(name)])
    traffic.look(drift_sensor)
    send_unsent(traffic.workspace.settings)
    assert [post["kind"] for post in traffic.far_end.posts] == ["firing"]
    assert traffic.cursors["drift_sensor"] == f"v1.0.0 {windows[-1]}"


def test_drift_in_consecutive_windows_notifies_and_requests_a_run_of_new_inputs(traffic: Traffic) -> None:
    repository, far_end = traffic.repository, traffic.far_end

    def tick(hours_ago: int, shift: float) -> list[dg.RunRequest]:
        traffic.report(traffic.leave(hours_ago, shift=shift))
        asked = traffic.look(drift_sensor)
        send_unsent(traffic.workspace.settings)
        return asked

    def commit(*arguments: str) -> str:
        git("commit", "-q", "-m", "Change", *arguments, cwd=repository)
        return git("rev-parse", "HEAD", cwd=repository).decode().strip()

    assert traffic.look(drift_sensor) == []
    assert tick(9, 1.5) == []
    assert not far_end.posts  # one hour may be chance
    assert tick(8, 1.5) == []  # production was made from the newest commit: to run it again would make nothing
    (message,) = far_end.posts
    assert "drifts since" in message["title"]
    assert "No run is requested" in message["reason"]
    commit("--allow-empty")
    assert tick(7, 1.5) == []  # nor is there anything new in a commit that changes no inputs
    traffic.cursors.clear()
    traffic.forget_messages()
    (repository / "params.yaml").write_text("monitoring: {consecutive_windows: 2, retrain: true}\ntrain: {epochs: 2}\n")
    never_run = commit("-a")
    (asked,) = tick(6, 1.5)
    assert asked.tags["face_assets/trigger"] == "drift"
    assert asked.partition_key == never_run
    assert "A run of the newest commit is requested" in far_end.posts[-1]["reason"]
    assert traffic.look(drift_sensor) == []
    traffic.workspace.stages.assign("v1.0.0", f"It stays, for commit {never_run}", again=True)
    assert tick(5, 1.5) == []  # the run was made, and gave the release that was there
    tick(4, 0.0)
    assert [post["kind"] for post in far_end.posts] == ["firing", "firing", "resolved"]
