"""The text of `face-assets status`."""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from face_assets.cli.commit_runs import figures_text
from face_assets.cli.status import SECONDS_SILENT
from face_assets.core.outside_text import shown_lines


def status_text(found: dict[str, Any]) -> str:
    """Returns the status as text for one screen."""
    lines = [
        f"home        {found['home']}",
        f"repository  {found['repository'] or 'none yet'}",
        *_server_lines(found["server"]),
        *_repair_lines(found["repairs"]),
        f"UI          {found['ui']['address']} {'up' if found['ui']['up'] else 'down'}",
        f"web         {found['web']['address']} {'up' if found['web']['up'] else 'down'}",
        "metrics     " + ", ".join(f"{name} {one['address']} {'up' if one['up'] else 'down'}" for name, one in found["monitoring"].items()),
        *_production_lines(found["production"]),
    ]
    if found["server"]["running"]:
        lines.append(f"traffic     {_traffic(found['traffic'])}")
    lines.append(f"drift       {_drift(found['drift'])}")
    lines += [f"waiting     commit {one['commit'][:12]} ({one['branch']}), since {_when(one['since'])}" for one in found["waiting"]]
    if not found["waiting"]:
        lines.append("waiting     no commit" if "event_log" not in found else f"waiting     unknown: the event log {found['event_log']}")
    for run in found["runs"]:
        took = f"{run['seconds']} s" if run["seconds"] is not None else ""
        why = f"  {run['reason']}" if run["reason"] and run["outcome"] in ("failed", "refused") else ""
        name = f"  {run['name']}" if run["name"] else ""
        lines.append(f"run         {run['run'][:8]} {run['outcome']:<9} {run['job']} {(run['commit'] or '')[:12]} {took}{name}{why}")
    return shown_lines(lines)


def next_step(found: Mapping[str, Any]) -> str:
    """The next steps, in the order in which they are needed."""
    if not found["repository"]:
        return "face-assets init REPO --photos FOLDER makes a data repository, face-assets use REPO follows one"
    if "error" in found["server"]:
        return "mend what the line of the server names"
    if not found["server"]["ready"]:
        wanted = found["production"] and found["production"].get("version")
        return "face-assets up starts the server" if wanted else "face-assets run makes the first release"
    if not found["ui"]["up"]:
        return "face-assets up starts the UI and the daemon, which looks for commits"
    if any(run["outcome"] in ("failed", "refused") for run in found["runs"][:1]):
        return f"face-assets watch {found['runs'][0]['run'][:8]} shows why the last run ended so"
    return "face-assets identify PHOTO asks the server who is on it"


def _server_lines(server: Mapping[str, Any]) -> list[str]:
    state = "ready" if server["ready"] else "running, not ready" if server["running"] else "down (face-assets up starts it)"
    state = f"unknown: {server['error']}" if "error" in server else state
    line = f"server      {state}, live {server['live'] or 'nothing'}, gRPC {server['grpc']}, HTTP {server['http']}"
    return [line, f"            not {server['wanted']}: {server['why']}"] if server.get("why") else [line]


def _repair_lines(repairs: Mapping[str, Any] | None) -> list[str]:
    if not repairs:
        return []
    return [f"            {repairs['attempts']} runs to mend it, the next {_when(repairs['next'])} (`face-assets resume` has it at once)"]


def _production_lines(production: Mapping[str, Any] | None) -> list[str]:
    if production is None:
        return ["production  no release yet"]
    if "error" in production:
        return [f"production  unknown: {production['error']}"]
    lines = ["production  no release"]
    if production["version"]:
        made = f"{production['version']} of commit {production['trained_commit'][:12]}"
        lines = [
            f"production  {made}, {production['tag']} by {production['assigned_by']}: {production['reason']}",
            f"            {figures_text(production['metrics'])}",
            *_embedder_lines(production.get("embedder")),
        ]
        lines += [f"            approved by {production['approved_by']}"] if "approved_by" in production else []
    if candidate := production.get("candidate"):
        needs = f"`face-assets approve {candidate['version']}` by a second person puts it into production"
        lines.append(f"candidate   {candidate['version']} of commit {candidate['commit'][:12]}: {needs}")
    if production["held"]:
        waits = production["waiting"]
        behind = f"{waits['version']} waits, of commit {waits['commit'][:12]}" if waits else "nothing waits"
        lines += [f"held        {production['held']}", f"            {behind}"]
    lines += [f"            {production[name]}" for name in ("foreign", "ahead", "unapproved", "unsigned") if name in production]
    if "stale" in production:
        lines.append(f"            as last seen: {production['stale']}")
    return lines + [_machine_line(one) for one in production["machines"]]


def _embedder_lines(age: Mapping[str, Any] | None) -> list[str]:
    if age is None:
        return []
    since = f"; {age['photos_since']:,} photos and {age['people_since']:,} people were added since" if age["kept_from"] else ""
    return [f"            embedder trained for commit {age['trained_commit'][:12]} of {age['trained_time'][:10]}{since}"]


def _machine_line(machine: Mapping[str, Any]) -> str:
    since = f" since {_local(machine['since'])}" if machine["since"] else ""
    why = f", not {machine['wanted']}: {machine['trouble']}" if machine["trouble"] else ""
    silent = time.time() - datetime.fromisoformat(machine["seen"]).timestamp() > SECONDS_SILENT
    serves, seen = ("served", "no sign of life since") if silent else ("serves", "seen")
    return f"machine     {machine['machine']} {serves} {machine['live'] or 'nothing'}{since}{why} ({seen} {_local(machine['seen'])})"


def _local(moment: str) -> str:
    return _when(datetime.fromisoformat(moment).timestamp())


def _traffic(traffic: Mapping[str, Any]) -> str:
    if "error" in traffic:
        return f"unknown: {traffic['error']}"
    took = f", {traffic['milliseconds']:.0f} ms an answer" if traffic["milliseconds"] is not None else ""
    return (
        f"{traffic['photos']:,} photos since the server started ({traffic['photos_without_face']:,} without a face, "
        f"{traffic['photos_refused']:,} of no use), {traffic['faces_accepted']:,} faces known, {traffic['faces_refused']:,} unknown; "
        f"{traffic['failures']:,} of {traffic['requests']:,} requests failed{took}"
    )


def _drift(drift: Mapping[str, Any] | None) -> str:
    if drift is None:
        return "no report yet"
    if "error" in drift:
        return f"unknown: {drift['error']}"
    return f"{drift['verdict']}, {_when(drift['time'])}: {drift['said']}"


def _when(timestamp: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(timestamp))
