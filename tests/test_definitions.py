"""The code location: what is defined, a snapshot to read in a diff, and what loading it costs."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from face_assets.orchestration import jobs

ROOT = Path(__file__).parents[1]
SNAPSHOT = Path(__file__).with_name("definitions.txt")


@pytest.fixture(scope="module")
def defs() -> dg.Definitions:
    sys.path.insert(0, str(ROOT))
    from definitions import defs

    return defs


def _described(defs: dg.Definitions) -> str:
    lines = []
    for spec in sorted(defs.resolve_all_asset_specs(), key=lambda spec: spec.key.to_user_string()):
        deps = ", ".join(sorted(dep.asset_key.to_user_string() for dep in spec.deps))
        parts = spec.partitions_def
        by = parts.name if isinstance(parts, dg.DynamicPartitionsDefinition) else "hour" if parts else "nothing"
        lines.append(f"asset {spec.group_name}/{spec.key.to_user_string()} by {by} after [{deps}] kinds {sorted(spec.kinds)}")
    graph = defs.resolve_asset_graph()
    for key in sorted(graph.asset_check_keys):
        check = graph.get_check_spec(key)
        lines.append(f"check {key.asset_key.to_user_string()}:{key.name}{' blocking' if check.blocking else ''}: {check.description}")
    names = (jobs.COMMIT_TO_LIVE, jobs.COMMIT_TO_EVALUATION, jobs.DEPLOY_PRODUCTION, jobs.OBSERVE_TRAFFIC)
    lines.extend(f"job {name}: {', '.join(sorted(node.name for node in defs.resolve_job_def(name).nodes))}" for name in names)
    for sensor in sorted(defs.sensors or [], key=lambda sensor: sensor.name):
        assert isinstance(sensor, dg.SensorDefinition)
        often = f"{sensor.default_status.value}, every {sensor.minimum_interval_seconds} s"
        lines.append(f"sensor {sensor.name}: {often}: {sensor.description}")
    for schedule in defs.schedules or []:
        assert isinstance(schedule, dg.ScheduleDefinition)
        lines.append(f"schedule {schedule.name}: {schedule.default_status.value}, {schedule.cron_schedule}: {schedule.description}")
    return "\n".join(lines) + "\n"


def test_the_definitions_are_the_snapshot(defs: dg.Definitions) -> None:
    """After a wanted change: run `python tests/test_definitions.py`, and read the diff."""
    assert _described(defs) == SNAPSHOT.read_text(encoding="utf-8")


def test_every_asset_says_which_code_made_it(defs: dg.Definitions) -> None:
    made = [spec for spec in defs.resolve_all_asset_specs() if spec.key.to_user_string() not in ("photos", "parameters")]
    assert made
    assert all(spec.code_version for spec in made)


def test_loading_the_code_location_imports_no_heavy_library() -> None:
    heavy = ("torch", "openvino", "sklearn", "matplotlib", "lightning", "dvc", "scipy")
    script = f"import sys, definitions; print([name for name in {heavy} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_selection_strings_work_beside_dvc() -> None:
    """With the antlr4 that DVC's hydra-core 1.3 pins, every selection string raises TypeError."""
    assert dg.AssetSelection.from_string("+a")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    from definitions import defs as present

    SNAPSHOT.write_text(_described(present), encoding="utf-8")
