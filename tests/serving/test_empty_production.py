"""Nothing in production: the run for a commit ends before the server, and a deployment fails with a reason."""

from pathlib import Path

import dagster as dg
import pytest

from face_assets.core.settings import remember
from face_assets.event_log.outcomes import read_outcome
from face_assets.orchestration.jobs import COMMIT_TO_LIVE, DEPLOY_PRODUCTION
from face_assets.orchestration.partitions import add_commit, commits
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.registry.workspace import Workspace
from face_assets.serving import assets


@dg.asset(partitions_def=commits)
def recognizer_release() -> None:
    """A release that waits, or is an experiment's."""


@pytest.mark.parametrize(
    ("job", "words", "reason"),
    [
        (COMMIT_TO_LIVE, ("done", {"recognizer_release"}), ""),
        (DEPLOY_PRODUCTION, ("failed", {"recognizer_release"}), "No release is in production yet: run a commit"),
    ],
)
def test_a_run_for_a_commit_ends_well_where_nothing_is_in_production(
    repository: Path, home: Path, job: str, words: tuple[str, set[str]], reason: str
) -> None:
    remember(repo=str(repository))
    commit = Workspace.load().repository.resolve("HEAD")
    definitions = dg.Definitions(
        assets=[recognizer_release, assets.triton_model_repository, assets.triton_image, assets.triton_deployment],
        jobs=[dg.define_asset_job(job)],
        resources={"platform": WorkspaceResource(), "io_manager": dg.mem_io_manager},
    )
    with dg.DagsterInstance.ephemeral() as instance:
        add_commit(instance, commit)
        definitions.resolve_job_def(job).execute_in_process(instance=instance, partition_key=commit, raise_on_error=False)
        outcome = read_outcome(instance, instance.get_run_records()[0])
        made = {key.to_user_string() for key in instance.all_asset_keys() if instance.get_latest_materialization_event(key)}
    assert ((outcome.word, made), outcome.reason[: len(reason)]) == (words, reason)
