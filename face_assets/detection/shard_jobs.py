"""Jobs of alignment in several steps, each a process of its own (align_in_processes) or a container (align_in_containers)."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import dagster as dg
from dagster_docker import docker_executor

from face_assets.core.settings import default_home
from face_assets.detection import shards
from face_assets.orchestration.jobs import ALIGN_IN_CONTAINERS, ALIGN_IN_PROCESSES
from face_assets.orchestration.metadata import commit_of, user_errors
from face_assets.orchestration.partitions import commits
from face_assets.orchestration.workspace_resource import WorkspaceResource

# the daemon runs a shard again that failed or was killed, and not the others, by these tags
AGAIN = {"dagster/max_retries": "2", "dagster/retry_strategy": "FROM_FAILURE", "dagster/retry_on_asset_or_op_failure": "true"}
BETWEEN_STEPS = "between_steps"


class ShardPlan(dg.Config):
    """Number of shards."""

    shards: int = 2
    """Parts that the photos are split into; of these as many run at once as the executor allows."""


@dg.op(out=dg.DynamicOut(dict, io_manager_key=BETWEEN_STEPS), description="Which shards of the commit's photos have faces to detect.")
def shards_to_align(context: dg.OpExecutionContext, platform: WorkspaceResource, config: ShardPlan) -> Iterator[dg.DynamicOutput[Any]]:
    """Yields a dynamic output for each shard with faces to detect."""
    if config.shards < 1:
        raise dg.Failure(f"shards is {config.shards}: at least 1 is needed.", allow_retries=False)
    with user_errors():
        workspace = platform.workspace()
        wanted = shards.plan_shards(workspace, commit_of(context, workspace), config.shards, context.log.info)
    for shard in wanted:
        yield dg.DynamicOutput(asdict(shard), mapping_key=str(shard.index))


@dg.op(out=dg.Out(int, io_manager_key=BETWEEN_STEPS), description="Detects and crops the faces of one shard.")
def aligned_shard(context: dg.OpExecutionContext, platform: WorkspaceResource, shard: dict) -> int:
    """The number of photos that this step detected, on one core: the other shards use the others."""
    with user_errors():
        return shards.align_shard(platform.workspace(), shards.Shard(**shard), 1, context.log.info)


@dg.op(out=dg.Out(int, io_manager_key=BETWEEN_STEPS), description="Puts the shards' crops into the crop store.")
def gathered_shards(context: dg.OpExecutionContext, platform: WorkspaceResource, detected: list) -> int:
    """The number of photos added to the crop store, where aligned_faces then finds them."""
    with user_errors():
        workspace = platform.workspace()
        gathered = shards.gather_shards(workspace, commit_of(context, workspace), context.log.info)
    context.log.info(f"{sum(detected):,} detected by {len(detected)} shards in this run")
    return gathered


@dg.graph
def alignment() -> None:
    """Plans shards, runs them in parallel and gathers their results."""
    gathered_shards(shards_to_align().map(aligned_shard).collect())


def _job(name: str, executor: dg.ExecutorDefinition, where: str) -> dg.JobDefinition:
    return alignment.to_job(
        name=name,
        partitions_def=commits,
        executor_def=executor,
        resource_defs={"platform": WorkspaceResource(), BETWEEN_STEPS: dg.FilesystemIOManager(base_dir=str(default_home() / "shards"))},
        tags=AGAIN,
        description=f"Detects the faces of a commit's photos in shards, each in {where}; aligned_faces then takes seconds.",
    )


align_in_processes = _job(ALIGN_IN_PROCESSES, dg.multiprocess_executor, "a process of its own")
align_in_containers = _job(ALIGN_IN_CONTAINERS, docker_executor, "a container of its own")
