"""Services without a password stay on loopback when the servers' listeners are public."""

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from face_assets.automation.services import start_ui, stop_ui
from face_assets.cli.monitoring_services import start_monitoring, stop_monitoring
from face_assets.cli.web_service import start_web, stop_web
from face_assets.core.settings import load_settings

ROOT = Path(__file__).parents[2]
OPEN = {"FACE_ASSETS_HOST": "0.0.0.0", "FACE_ASSETS_TARGET": "docker"}


@pytest.mark.slow
def test_the_servers_host_opens_neither_ui_nor_exporter_nor_prometheus_nor_the_web_service(
    home: Path, free_ports: Callable[[int], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = dict(zip(("UI_PORT", "EXPORTER_PORT", "PROMETHEUS_PORT", "WEB_PORT"), free_ports(4), strict=True))
    for name, value in {**OPEN, **{f"FACE_ASSETS_{name}": str(port) for name, port in ports.items()}}.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    try:
        start_ui(settings)
        assert len(list(start_monitoring(settings))) == 2
        assert start_web(settings) == settings.web_address
        for port in ports.values():
            socket.create_connection(("127.0.0.1", port), 5).close()
            with pytest.raises(ConnectionRefusedError):  # this machine too, and taken where all addresses are
                socket.create_connection(("127.0.0.2", port), 5)
    finally:
        assert stop_web(settings) == ["web"]
        stop_monitoring(settings)
        stop_ui(settings)


@pytest.mark.parametrize(("opened", "published"), [(OPEN, "127.0.0.1"), ({**OPEN, "FACE_ASSETS_UI_HOST": "192.0.2.7"}, "192.0.2.7")])
def test_in_compose_neither(opened: dict[str, str], published: str, tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "FACE_ASSETS_REPO": "https://example.org/faces.git", **opened}
    run = ["deploy/platform/compose", "--profile", "grafana", "config"]
    shown = subprocess.run(run, env=environment, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    ports = {name: str(service["ports"]) for name, service in yaml.safe_load(shown)["services"].items() if "ports" in service}
    assert set(ports) == {"signin", "signin-grafana"}
    assert all(published in text and "0.0.0.0" not in text for text in ports.values())
