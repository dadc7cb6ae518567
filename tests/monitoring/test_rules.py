"""The alert rules, by promtool: each is right, and each is seen to fire and to keep quiet; the dashboards' files are those of the code."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from face_assets.core.project_files import DEPLOY
from face_assets.monitoring.dashboards import DASHBOARDS, FOLDER, dashboard
from face_assets.monitoring.prometheus import configuration

CASES = Path(__file__).with_name("alerts_test.yml")


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    assert found, "promtool is missing: apt-get install prometheus"
    return found


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_and_configuration_are_right_and_fire_as_their_cases_say(promtool: str, tmp_path: Path) -> None:
    run(promtool, "test", "rules", str(CASES))
    run(promtool, "check", "config", str(DEPLOY / "prometheus.yml"))
    elsewhere = tmp_path / "prometheus.yml"
    elsewhere.write_text(configuration({"triton": "10.0.0.1:1", "face-assets": "10.0.0.1:2"}))
    run(promtool, "check", "config", str(elsewhere))
    assert "127.0.0.1" not in elsewhere.read_text()


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    alerts = {rule["alert"] for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"] for rule in group["rules"]}
    cases = [case for test in yaml.safe_load(CASES.read_text())["tests"] for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == alerts
    quiet = {case["alertname"] for case in cases if not case.get("exp_alerts")}
    assert alerts - quiet == {"ExporterCollectorDown"}, "of which another collector is quiet in the same case"


def test_the_dashboards_in_deploy_are_those_of_the_code() -> None:
    for name in DASHBOARDS:
        assert json.loads((FOLDER / f"{name}.json").read_text()) == dashboard(name), "run python -m face_assets.monitoring.dashboards"
        panels = dashboard(name)["panels"]
        taken = {
            (x, y)
            for place in (panel["gridPos"] for panel in panels)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert len(taken) == sum(panel["gridPos"]["w"] * panel["gridPos"]["h"] for panel in panels), "no panel lies on another"
        assert max(x for x, _ in taken) < 24
