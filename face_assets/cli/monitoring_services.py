"""`face-assets up --monitoring`: the exporter, and a local Prometheus with the alert rules."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from face_assets.automation.services import record, wait_until_up
from face_assets.core import processes
from face_assets.core.ports import require_free
from face_assets.core.settings import Settings
from face_assets.monitoring import exposition, prometheus
from face_assets.storage.home import Home

EXPORTER, PROMETHEUS = "exporter", "prometheus"
SECONDS_TO_START = 60.0


def prometheus_address(settings: Settings) -> str:
    """Returns the address of the local Prometheus."""
    return f"http://{settings.ui_host}:{settings.prometheus_port}"


def exporter_address(settings: Settings) -> str:
    """Returns the address of the exporter."""
    return f"http://{settings.ui_host}:{settings.exporter_port}"


def start_monitoring(settings: Settings) -> Iterator[str]:
    """Starts services that do not run; yields a line about each. Raises UserError."""
    home = Home(settings.home)
    address = exporter_address(settings)
    if processes.recorded(record(home, EXPORTER)) is None:
        require_free(settings.ui_host, settings.exporter_port, "the exporter", "FACE_ASSETS_EXPORTER_PORT")
        command = [str(Path(sys.executable).with_name("face-assets")), "exporter"]
        variables = {
            **os.environ,
            "FACE_ASSETS_HOME": str(home.root),
        }  # absolute, for it starts in another folder
        processes.start(command, home.logs / "exporter.log", record(home, EXPORTER), variables, home.root)
    wait_until_up(home, EXPORTER, EXPORTER, lambda: exposition.answers(address), SECONDS_TO_START)
    yield f"Exporter: {address}/metrics"
    folder = home.root / "monitoring"
    targets = {
        "triton": settings.metrics_address,
        "face-assets": f"{settings.ui_host}:{settings.exporter_port}",
    }
    command = prometheus.command(folder, settings.ui_host, settings.prometheus_port)
    if prometheus.prepare(folder, targets):
        processes.stop(record(home, PROMETHEUS))
    if processes.recorded(record(home, PROMETHEUS)) is None:
        require_free(settings.ui_host, settings.prometheus_port, "Prometheus", "FACE_ASSETS_PROMETHEUS_PORT")
        processes.start(command, home.logs / "prometheus.log", record(home, PROMETHEUS), os.environ, home.root)
    wait_until_up(home, PROMETHEUS, PROMETHEUS, lambda: prometheus.is_ready(prometheus_address(settings)), SECONDS_TO_START)
    yield f"Prometheus: {prometheus_address(settings)}"


def stop_monitoring(settings: Settings) -> list[str]:
    """Stops running services; returns their names."""
    home = Home(settings.home)
    return [name for name in (PROMETHEUS, EXPORTER) if processes.stop(record(home, name))]
