"""The run launcher of services that may not use the Docker engine, such as the webserver: the daemon launches, container_sweep ends."""

from collections.abc import Mapping
from typing import Any

from dagster import DagsterInstance
from dagster._core.launcher import LaunchRunContext, RunLauncher
from dagster._serdes import ConfigurableClass, ConfigurableClassData


class RemoteRunLauncher(RunLauncher[DagsterInstance], ConfigurableClass):
    """Marks a run as canceling and leaves its container to the sensor container_sweep, which has the engine."""

    def __init__(self, inst_data: ConfigurableClassData | None = None):
        super().__init__()  # type: ignore[no-untyped-call]
        self._inst_data = inst_data

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """Its entry in dagster.yaml."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """It has no settings."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> "RemoteRunLauncher":
        """The launcher of an entry."""
        return cls(inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Raises: runs are queued, and the daemon launches them."""
        raise NotImplementedError("this service launches no run: the daemon does")

    def terminate(self, run_id: str) -> bool:
        """Marks the run as canceling; returns False where it is over."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        return True
