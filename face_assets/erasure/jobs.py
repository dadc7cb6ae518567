"""The job forget_person: an erasure on record in the event log, which names the person by the pseudonym alone."""

from pathlib import Path

import dagster as dg

from face_assets.core.errors import UserError
from face_assets.erasure.journal import Journal, erasing
from face_assets.erasure.steps import Erasure
from face_assets.event_log.instance import open_instance
from face_assets.event_log.runs import UNDER_WAY, run_job
from face_assets.orchestration.jobs import COMMIT_TO_LIVE, DEPLOY_PRODUCTION, ERASE_DUE_PEOPLE, FORGET_PERSON
from face_assets.orchestration.metadata import user_errors
from face_assets.orchestration.tags import MANUAL, commit_tags, stage_tags
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.registry.workspace import Log, Workspace


class ErasureOf(dg.Config):
    """The erasure to do."""

    pseudonym: str
    """Of the journal that `face-assets forget` wrote."""


@dg.op(description="Erases a person everywhere, in steps that are each done once.", out=dg.Out(dg.Nothing))
def erased_person(context: dg.OpExecutionContext, platform: WorkspaceResource, config: ErasureOf) -> None:
    """Goes on with the erasure of a journal."""
    with user_errors():
        workspace = platform.workspace()
        with erasing(workspace.home.root):
            certificate = erase(workspace, config.pseudonym, context.log.info)
        context.log.info(f"erased: {certificate} is the certificate")


def erase(workspace: Workspace, pseudonym: str, log: Log, only_heads: bool = False) -> Path | None:
    """Goes on with the erasure of a journal, under the lock of `erasing`; returns the certificate.

    only_heads: takes the person out of the branches and stops there, without a certificate. Raises UserError.
    """
    journal = Journal.find(workspace.home.root, pseudonym)
    if journal is None:
        raise UserError(f"No erasure of {pseudonym} is under way on this machine.")
    workspace.repository.refresh()
    erasure = Erasure(
        workspace,
        journal,
        make_live=lambda commit: _make_live(workspace, commit),
        under_way=lambda: _busy(workspace),
        deploy=lambda: _deploy(workspace),
        log=log,
    )
    return erasure.run(only="heads" if only_heads else None)


def _make_live(workspace: Workspace, commit: str) -> list[str]:
    """Runs a commit up to its deployment; returns the reasons for which it did not get there."""
    report = run_job(workspace.home, COMMIT_TO_LIVE, commit, commit_tags(workspace, commit, MANUAL), lambda step: None)
    staged = report.assets.get("recognizer_release", {}).get("stage_reason")
    return report.reasons or ([str(staged)] if staged else [])


def _deploy(workspace: Workspace) -> list[str]:
    """Deploys the release in production; returns the reasons for which it was not deployed."""
    production = workspace.stages.production()
    if production is None:
        return []
    return run_job(workspace.home, DEPLOY_PRODUCTION, None, stage_tags(production, MANUAL), lambda step: None).reasons


def _busy(workspace: Workspace) -> list[str]:
    with open_instance(workspace.home) as instance:
        runs = instance.get_runs(dg.RunsFilter(statuses=list(UNDER_WAY)))
    return [f"run {run.run_id[:8]} of {run.job_name}" for run in runs if run.job_name not in (FORGET_PERSON, ERASE_DUE_PEOPLE)]


@dg.job(
    name=FORGET_PERSON,
    resource_defs={"platform": WorkspaceResource()},
    executor_def=dg.in_process_executor,
    description="Erases a person everywhere, as `face-assets forget` does. The journal on this machine has the name.",
)
def forget_person() -> None:
    """Erases a person."""
    erased_person()
