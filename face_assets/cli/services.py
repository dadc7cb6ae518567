"""`face-assets up` and `down`: UI, daemon and server of this state directory."""

from collections.abc import Iterator

from face_assets.automation.services import start_ui, stop_ui, ui_address
from face_assets.cli.monitoring_services import start_monitoring, stop_monitoring
from face_assets.cli.web_service import start_web, stop_web
from face_assets.core.errors import RefusedError, UserError
from face_assets.event_log.runs import run_job
from face_assets.orchestration import jobs
from face_assets.orchestration.tags import MANUAL, TRIGGER
from face_assets.registry.workspace import Workspace
from face_assets.serving.steps import stop_servers


def start_services(workspace: Workspace, server: bool, ui: bool, monitoring: bool = False, web: bool = True) -> Iterator[str]:
    """Starts services that do not run; yields a line about each. The server that runs is checked. Raises UserError."""
    if workspace.settings.repo:
        yield f"Repository: {workspace.repository.shown}"
    if ui:
        start_ui(workspace.settings)
        yield f"UI: {ui_address(workspace.settings)}"
    if web:
        yield f"Web service: {start_web(workspace.settings)}"
    if server:
        yield _start_server(workspace)
    if monitoring:
        yield from start_monitoring(workspace.settings)


def _start_server(workspace: Workspace) -> str:
    if not workspace.settings.repo:
        return "Server: not started, no data repository yet (face-assets use PATH_OR_URL names one)"
    workspace.repository.refresh()
    if workspace.stages.production() is None:
        return "Server: not started, no release is in production yet"
    report = run_job(workspace.home, jobs.DEPLOY_PRODUCTION, None, {TRIGGER: MANUAL}, lambda step: None)
    if not report.success:
        kind = RefusedError if report.refused else UserError
        raise kind("The server: " + "; ".join(dict.fromkeys(report.reasons)))
    facts = report.assets["triton_deployment"]
    return f"Server: {facts['live']} at gRPC {facts['grpc']}, HTTP {facts['http']}"


def stop_services() -> list[str]:
    """Stops running services; returns their names."""
    workspace = Workspace.load()
    stopped = [*stop_monitoring(workspace.settings), *stop_web(workspace.settings), *stop_ui(workspace.settings)]
    if stop_servers(workspace):
        stopped.append("server")
    return stopped
