"""`face-assets launch` and `watch`: runs on the running platform, launched over GraphQL, and any run followed to its end."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import dagster as dg

from face_assets.automation.graphql import AssetNode, Webserver
from face_assets.automation.selection import select
from face_assets.automation.services import DAEMON, record, ui_address
from face_assets.cli.commit_runs import shown_on_terminal
from face_assets.cli.followed_repository import followed_repository
from face_assets.core import processes
from face_assets.core.errors import UserError
from face_assets.core.outside_text import echo
from face_assets.core.settings import Settings, load_settings
from face_assets.event_log.instance import open_instance
from face_assets.event_log.runs import QUEUED, Progress, RunReport, ShowProgress, find_run, follow_run
from face_assets.orchestration import tags
from face_assets.orchestration.jobs import COMMIT_TO_LIVE
from face_assets.registry.workspace import Workspace
from face_assets.storage.home import Home

ASSET_JOB = "__ASSET_JOB"
"""Dagster's own job of all assets: it accepts any selection, with and without partitions."""
NAMED = 3
INTERRUPTED = 130


@dataclass(frozen=True)
class Launched:
    """A launched run. commit: the full id, None for assets that follow the stage; ui: the run's page."""

    run_id: str
    job: str
    selection: tuple[str, ...]
    commit: str | None
    ui: str


def launch_assets(repo: str | None, selections: Sequence[str], revision: str | None, job: str | None, train: bool = False) -> Launched:
    """Launches a run of the selected assets, or of the job, for the commit. Raises UserError. train: trains also where it gains little."""
    workspace = followed_repository(repo)
    webserver = Webserver(workspace.settings)
    nodes = webserver.assets()
    job = job or (ASSET_JOB if selections else COMMIT_TO_LIVE)
    chosen = _of_job(nodes, job, select(nodes, selections) if selections else None)
    commit = _commit(workspace, chosen, revision)
    run_tags = {tags.TRIGGER: tags.MANUAL}
    if train and "face_embedder" not in {node.name for node in chosen}:
        raise UserError("--train trains the face_embedder, which the run does not make: leave out --train, or select face_embedder+.")
    if commit:
        _require_inputs(webserver, nodes, chosen, commit)
        run_tags = tags.commit_tags(workspace, commit, trigger=tags.MANUAL) | {tags.PARTITION: commit} | tags.training_tag(train)
        webserver.add_commit(commit)
    names = tuple(node.name for node in chosen)
    run_id = webserver.launch(job, names if selections else None, run_tags)
    return Launched(run_id, job, names, commit, f"{webserver.address}/runs/{run_id}")


def _of_job(nodes: Sequence[AssetNode], job: str, chosen: Sequence[AssetNode] | None) -> list[AssetNode]:
    """Returns the job's assets, or `chosen`, which must all be among them. Raises UserError."""
    inside = [node for node in nodes if job in node.jobs]
    if not inside:
        known = sorted({name for node in nodes for name in node.jobs if not name.startswith("__")})
        raise UserError(f"There is no job {job!r}; there are {', '.join(known)}.")
    outside = [node.name for node in chosen or () if node not in inside]
    if outside:
        raise UserError(f"The job {job} does not make {', '.join(outside)}: leave out --job, or launch another.")
    return list(chosen or inside)


def _commit(workspace: Workspace, chosen: Sequence[AssetNode], revision: str | None) -> str | None:
    """Returns the full id of the run's commit; None when no chosen asset is partitioned by commit."""
    other = [node for node in chosen if node.partitions and not node.by_commit]
    if other:
        raise UserError(f"{other[0].name} is kept by {other[0].partitions}, not by commit: launch it in the UI.")
    if not any(node.by_commit for node in chosen):
        if revision is not None:
            names = ", ".join(node.name for node in chosen)
            raise UserError(
                f"{names}: made of what is in production, not of a commit. Leave out --commit; `face-assets promote` changes it."
            )
        return None
    workspace.repository.refresh()
    commit = workspace.repository.resolve(revision or "HEAD")
    workspace.params(commit)
    return commit


def _require_inputs(webserver: Webserver, nodes: Sequence[AssetNode], chosen: Sequence[AssetNode], commit: str) -> None:
    """Raises UserError when an input of an asset neither exists for the commit nor is made in the same run."""
    made = {node.name for node in nodes if node.materializable and node.by_commit} - {node.name for node in chosen}
    needed = {name: node.name for node in chosen if node.by_commit for name in node.upstream if name in made}
    for name in webserver.not_made(sorted(needed), commit):
        raise UserError(
            f"{needed[name]} needs {name}, which has not been made for commit {commit[:12]}: "
            f"`face-assets launch '+{needed[name]}' --commit {commit[:12]}` makes all that it needs."
        )


def follow_launched(launched: Launched, quiet: bool) -> dict[str, Any]:
    """Follows the run to its end; returns the report as JSON-able values."""
    settings = load_settings()
    with open_instance(Home(settings.home)) as instance:
        run = instance.get_run_by_id(launched.run_id)
        if run is None:
            raise UserError(
                f"Run {launched.run_id} was launched by a webserver of another home than {settings.home}: it is to be seen at {launched.ui}"
            )
        return {**_followed(settings, instance, run, quiet), **asdict(launched)}


def watch_run(prefix: str, quiet: bool) -> dict[str, Any]:
    """Follows a run of this state directory, named by the beginning of its id, to its end. Raises UserError."""
    settings = load_settings()
    with open_instance(Home(settings.home)) as instance:
        return _followed(settings, instance, find_run(instance, prefix), quiet)


def _followed(settings: Settings, instance: dg.DagsterInstance, run: dg.DagsterRun, quiet: bool) -> dict[str, Any]:
    if not quiet:
        echo(f"{_title(run)}: {ui_address(settings)}/runs/{run.run_id}", err=True)

    def follow(show: ShowProgress) -> RunReport:
        def explained(step: Progress) -> None:
            show(step)
            if (step.kind, step.text) == ("state", QUEUED) and processes.recorded(record(Home(settings.home), DAEMON)) is None:
                show(Progress("state", "", "the daemon, which starts queued runs, does not run: `face-assets up` starts it"))

        return follow_run(instance, run.run_id, explained)

    try:
        report = shown_on_terminal(quiet, follow)
    except KeyboardInterrupt:
        echo(f"No longer watched; the run goes on: face-assets watch {run.run_id[:8]}", err=True)
        sys.exit(INTERRUPTED)
    after = instance.get_run_by_id(run.run_id)
    log = Home(settings.home).dagster / "storage" / run.run_id
    report["log"] = str(log) if log.is_dir() else ""
    return {**report, "job": run.job_name, "commit": run.tags.get(tags.PARTITION), "status": after.status.value if after else None}


def _title(run: dg.DagsterRun) -> str:
    names = sorted(key.to_user_string() for key in run.asset_selection or ())
    what = run.job_name if not names else ", ".join(names) if len(names) <= NAMED else f"{len(names)} assets"
    commit = run.tags.get(tags.PARTITION)
    return f"run {run.run_id[:8]} of {what}" + (f" for commit {commit[:12]}" if commit else "")
