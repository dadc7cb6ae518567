"""`face-assets status`: the state on one screen, in about two seconds also where something hangs."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from face_assets.automation.services import record, ui_address, ui_answers
from face_assets.cli.monitoring_services import EXPORTER, PROMETHEUS, exporter_address, prometheus_address
from face_assets.cli.web_service import web_answers
from face_assets.core import processes
from face_assets.core.credentials import without_credentials
from face_assets.core.errors import UserError
from face_assets.core.settings import Settings, load_settings
from face_assets.event_log.instance import open_instance
from face_assets.event_log.outcomes import read_outcome
from face_assets.event_log.pipeline_facts import drift_verdict, repairs, waiting_commits
from face_assets.monitoring.triton_metrics import read_traffic
from face_assets.orchestration.tags import NAME, PARTITION, REASON
from face_assets.registry.machines import machines
from face_assets.registry.stages import Assignment
from face_assets.registry.workspace import Workspace
from face_assets.release.promotion import holds
from face_assets.release.training_age import training_age
from face_assets.serving.machine_state import observe
from face_assets.serving.steps import target
from face_assets.storage.home import Home

RUNS = 5
SECONDS = 2.0
"""Time limit of requests to other services; a late one is reported as such."""
SECONDS_SILENT = 3 * 3600.0
"""Time without a sign of life, which a machine publishes each hour."""
SECONDS_HERE = 10.0
"""Time limit of reads on this machine, which are late only where it is very busy, or its disk hangs."""


def status_report() -> dict[str, Any]:
    """Returns the state of server, production and runs as JSON-able values; an unknown part has an error."""
    settings = load_settings()
    home = Home(settings.home)
    refreshed = threading.Event()
    found = _all_in_time(
        {
            "server": (SECONDS_HERE, lambda: _server(settings, refreshed)),
            "production": (SECONDS_HERE, lambda: _production(settings, refreshed)),
            "ui": (SECONDS_HERE, lambda: {"address": ui_address(settings), "up": ui_answers(settings)}),
            "web": (SECONDS_HERE, lambda: {"address": settings.web_address, "up": web_answers(settings)}),
            "traffic": (1.5 * SECONDS, lambda: asdict(read_traffic(f"http://{settings.metrics_address}", SECONDS))),
            "log": (SECONDS_HERE, lambda: _event_log(home)),
        }
    )
    late_server = {"running": False, "ready": False, "live": None, "pid": None, **_ports(settings)}
    log = found["log"]
    return {
        "home": str(settings.home),
        "repository": without_credentials(settings.repo) if settings.repo else None,
        "server": {**late_server, **found["server"]},
        "production": found["production"],
        "ui": {"address": ui_address(settings), "up": False, **found["ui"]},
        "web": {"address": settings.web_address, "up": False, **found["web"]},
        "monitoring": _monitoring(settings, home),
        "traffic": found["traffic"],
        "drift": log.get("drift") if "error" not in log else {"error": log["error"]},
        "repairs": log.get("repairs"),
        "waiting": log.get("waiting", []),
        "runs": log.get("runs", []),
        **({"event_log": log["error"]} if "error" in log else {}),
    }


def _all_in_time(parts: Mapping[str, tuple[float, Callable[[], Any]]]) -> dict[str, Any]:
    """Reads all parts at once; returns the result of each, {"error": …} for one that fails or exceeds its seconds.

    A late thread ends with the process.
    """
    found: dict[str, Any] = {}

    def read(name: str, part: Callable[[], Any]) -> None:
        try:
            found[name] = part()
        except (UserError, OSError) as error:
            found[name] = {"error": str(error)}

    threads = {name: threading.Thread(target=read, args=(name, part), daemon=True) for name, (_, part) in parts.items()}
    for thread in threads.values():
        thread.start()
    began = time.monotonic()
    for name, (seconds, _) in parts.items():
        threads[name].join(max(0.0, began + seconds - time.monotonic()))
        found.setdefault(name, {"error": f"no result within {seconds:g} s"})
    return dict(found)


def _ports(settings: Settings) -> dict[str, str]:
    return {"target": settings.target, "grpc": f"{settings.host}:{settings.grpc_port}", "http": f"{settings.host}:{settings.http_port}"}


def _server(settings: Settings, refreshed: threading.Event) -> dict[str, Any]:
    """Returns the state of the server, and why it does not serve production: by the mirror, once that is `refreshed` or late."""
    workspace = Workspace(settings)
    status = target(workspace).status()
    live = status.live.release if status.live else None
    found = {"running": status.running, "ready": status.ready, "live": live, "pid": status.pid, **_ports(settings)}
    if settings.repo:
        refreshed.wait(2 * SECONDS)
    if settings.repo and (workspace.repository.mirror / "HEAD").is_file():
        observed = observe(workspace, workspace.stages.production(), status)
        found |= {"wanted": observed.wanted, "since": observed.since, "why": observed.why}
    return found


def _decided(assignment: Assignment) -> dict[str, Any]:
    decision = assignment.decision
    return {
        "tag": assignment.tag,
        "assigned_by": assignment.author,
        "assigned": assignment.time,
        "decided_by": decision.by,
        "reason": decision.reason,
    }


def _production(settings: Settings, refreshed: threading.Event) -> dict[str, Any] | None:
    """Returns production, from the repository where it responds in time, else from the mirror, with its time."""
    if not settings.repo:
        return None
    workspace = Workspace(settings)
    stale = ""
    try:
        workspace.repository.refresh(seconds=SECONDS)
    except UserError as error:
        if not (workspace.repository.mirror / "HEAD").is_file():
            raise
        stale = str(error)
    finally:
        refreshed.set()
    stages = workspace.stages
    assignment, hold, waiting, candidate = stages.production(), stages.hold(), stages.waiting(), stages.candidate()
    wrong = {"foreign": stages.foreign(), "ahead": stages.ahead(), "unapproved": stages.unapproved(), "unsigned": stages.unsigned()}
    others = {
        "machines": [one.model_dump(mode="json") for one in machines(workspace.repository)],
        "held": holds(hold) if hold else None,
        "waiting": {"version": waiting.release.version, "commit": waiting.commit, **_decided(waiting)} if waiting else None,
        **({"candidate": {"version": candidate.release.version, "commit": candidate.commit, **_decided(candidate)}} if candidate else {}),
        **({"stale": stale} if stale else {}),
        **{name: sentence for name, sentence in wrong.items() if sentence},
    }
    if assignment is None:
        if not hold and not others["machines"] and not candidate and not any(wrong.values()):
            return {"error": stale} if stale else None
        return {"version": None, **others}
    release = assignment.release
    approval = stages.approval(release)
    return {
        "version": release.version,
        "trained_commit": release.trained_commit,
        "metrics": release.metrics,
        "embedder": training_age(release),
        **_decided(assignment),
        **({"approved_by": str(approval)} if approval else {}),
        **others,
    }


def _monitoring(settings: Settings, home: Home) -> dict[str, Any]:
    return {
        EXPORTER: {"address": exporter_address(settings), "up": processes.recorded(record(home, EXPORTER)) is not None},
        PROMETHEUS: {"address": prometheus_address(settings), "up": processes.recorded(record(home, PROMETHEUS)) is not None},
    }


def _event_log(home: Home) -> dict[str, Any]:
    """Returns the last runs, drift, and waiting commits."""
    if not home.dagster.is_dir():
        return {"runs": [], "waiting": [], "repairs": None, "drift": None}
    with open_instance(home) as instance:
        runs = [
            {
                "run": one.dagster_run.run_id,
                "name": one.dagster_run.tags.get(NAME, ""),
                "job": one.dagster_run.job_name,
                "status": one.dagster_run.status.value,
                "outcome": read_outcome(instance, one).word,
                "commit": one.dagster_run.tags.get(PARTITION),
                "reason": one.dagster_run.tags.get(REASON),
                "started": one.start_time,
                "seconds": round(one.end_time - one.start_time, 1) if one.start_time and one.end_time else None,
            }
            for one in instance.get_run_records(limit=RUNS)
        ]
        waiting = [{name: one[name] for name in ("commit", "branch", "since")} for one in waiting_commits(instance)]
        return {"runs": runs, "waiting": waiting, "repairs": repairs(instance), "drift": drift_verdict(instance)}
