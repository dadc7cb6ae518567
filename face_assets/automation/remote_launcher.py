"""The run launcher of services without access to the Docker engine, such as the webserver: it marks runs as canceling only."""

from collections.abc import Mapping
from typing import Any

from dagster import DagsterInstance
from dagster._core.launcher import LaunchRunContext, RunLauncher
from dagster._serdes import ConfigurableClass, ConfigurableClassData


class RemoteRunLauncher(RunLauncher[DagsterInstance], ConfigurableClass):
    """Run launcher that marks a run as canceling; the sensor container_sweep, which has the engine, stops its container."""

    def __init__(self, inst_data: ConfigurableClassData | None = None):
        super().__init__()  # type: ignore[no-untyped-call]
        self._inst_data = inst_data

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """Its entry in dagster.yaml."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """The schema of its settings, of which there are none."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> "RemoteRunLauncher":
        """The launcher for an entry of dagster.yaml."""
        return cls(inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Raises NotImplementedError: runs are queued, and the daemon launches them."""
        raise NotImplementedError("this service launches no run: the daemon does")

    def terminate(self, run_id: str) -> bool:
        """Marks the run as canceling. Returns False if it has finished."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        return True
