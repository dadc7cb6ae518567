"""A run that is terminated in a service without an engine: marked there, and ended by the sensor that has one."""

from pathlib import Path

import dagster as dg
from dagster import DagsterInstance
from dagster._core.test_utils import create_run_for_test

CONFIG = "run_launcher: {module: face_assets.automation.remote_launcher, class: RemoteRunLauncher}\ntelemetry: {enabled: false}\n"


def test_a_service_without_an_engine_marks_a_run_and_leaves_its_container_to_others(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text(CONFIG)
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        under_way = create_run_for_test(instance, job_name="any", status=dg.DagsterRunStatus.STARTED)
        over = create_run_for_test(instance, job_name="any", status=dg.DagsterRunStatus.SUCCESS)
        assert instance.run_launcher.terminate(under_way.run_id)
        assert not instance.run_launcher.terminate(over.run_id)
        found = {run.run_id: run.status for run in instance.get_runs()}
    assert found == {under_way.run_id: dg.DagsterRunStatus.CANCELING, over.run_id: dg.DagsterRunStatus.SUCCESS}
