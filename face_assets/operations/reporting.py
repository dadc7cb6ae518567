"""`face-assets status` and `lineage`."""

import time
from typing import Any

from face_assets.automation.instance import open_instance
from face_assets.automation.lineage import lineage
from face_assets.automation.services import ui_address, ui_answers
from face_assets.automation.tags import PARTITION
from face_assets.errors import UserError
from face_assets.home import Home
from face_assets.operations.pipeline import figures_text, headline
from face_assets.pipeline.serving import target
from face_assets.pipeline.workspace import Workspace
from face_assets.settings import Settings, load_settings

RUNS = 5


def lineage_report(version: str) -> dict[str, Any]:
    """How a release came about, from the event log alone. Raises UserError."""
    with open_instance(Home(load_settings().home)) as instance:
        return lineage(instance, version)


def lineage_text(found: dict[str, Any]) -> str:
    """The lineage as lines, photos first."""
    release = found["chain"][-1]["facts"]
    lines = [
        f"{found['release']} was made from commit {found['commit']}",
        f"  dataset version {release.get('dataset_version')}, seed {release.get('seed')}",
    ]
    for made in found["chain"]:
        lines.append(f"  {made['asset']:<22} {_when(made['time'])}  run {made['run'][:8]}  {made['facts'].get('fingerprint', '')}")
        lines.append(f"  {'':<22} {headline(made['asset'], made['facts'])}")
        lines.append(f"  {'':<22} {made['facts'].get('path', '')}")
    for deployed in reversed(found["deployments"]):
        facts = deployed["facts"]
        lines.append(f"  deployed {_when(deployed['time'])} by {facts['tag']} ({facts['assigned_by']}): {facts['reason']}")
    return "\n".join(lines)


def _when(timestamp: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(timestamp))


def status_report() -> dict[str, Any]:
    """What is live, in production and running, as JSON-able values; what cannot be told says why."""
    settings = load_settings()
    home = Home(settings.home)
    return {
        "home": str(settings.home),
        "repository": settings.repo,
        "server": _server(settings),
        "production": _production(settings),
        "ui": {"address": ui_address(settings), "up": ui_answers(settings)},
        "runs": _runs(home),
    }


def _server(settings: Settings) -> dict[str, Any]:
    where = {"target": settings.target, "grpc": f"{settings.host}:{settings.grpc_port}", "http": f"{settings.host}:{settings.http_port}"}
    try:
        status = target(Workspace(settings)).status()
    except UserError as error:
        return {"running": False, "ready": False, "live": None, "pid": None, "error": str(error), **where}
    live = status.live.release if status.live else None
    return {"running": status.running, "ready": status.ready, "live": live, "pid": status.pid, **where}


def _production(settings: Settings) -> dict[str, Any] | None:
    if not settings.repo:
        return None
    workspace = Workspace(settings)
    try:
        workspace.repository.refresh()
        assignment = workspace.stages.production()
    except UserError as error:
        return {"error": str(error)}
    if assignment is None:
        return None
    release = assignment.release
    return {
        "version": release.version,
        "tag": assignment.tag,
        "assigned_by": assignment.author,
        "trained_commit": release.trained_commit,
        "metrics": release.metrics,
    }


def _runs(home: Home) -> list[dict[str, Any]]:
    if not home.dagster.is_dir():
        return []
    with open_instance(home) as instance:
        records = instance.get_run_records(limit=RUNS)
        return [
            {
                "run": record.dagster_run.run_id,
                "job": record.dagster_run.job_name,
                "status": record.dagster_run.status.value,
                "commit": record.dagster_run.tags.get(PARTITION),
                "started": record.start_time,
                "seconds": round(record.end_time - record.start_time, 1) if record.start_time and record.end_time else None,
            }
            for record in records
        ]


def status_text(found: dict[str, Any]) -> str:
    """The status on one screen."""
    server, production = found["server"], found["production"]
    state = "ready" if server["ready"] else "running, not ready" if server["running"] else "down (face-assets up brings it back)"
    lines = [
        f"home        {found['home']}",
        f"repository  {found['repository'] or 'none yet'}",
        f"server      {state}, live {server['live'] or 'nothing'}, gRPC {server['grpc']}, HTTP {server['http']}",
        f"UI          {found['ui']['address']} {'up' if found['ui']['up'] else 'down'}",
    ]
    if "error" in server:
        lines.append(f"            {server['error']}")
    if production is None:
        lines.append("production  no release yet")
    elif "error" in production:
        lines.append(f"production  unknown: {production['error']}")
    else:
        made = f"{production['version']} of commit {production['trained_commit'][:12]}"
        lines.append(f"production  {made}, {production['tag']} by {production['assigned_by']}")
        lines.append(f"            {figures_text(production['metrics'])}")
    for run in found["runs"]:
        took = f"{run['seconds']} s" if run["seconds"] is not None else ""
        lines.append(f"run         {run['run'][:8]} {run['status']:<9} {run['job']} {(run['commit'] or '')[:12]} {took}")
    return "\n".join(lines)
