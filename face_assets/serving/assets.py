"""The group serving: triton_model_repository, triton_image and triton_deployment, which follow the stage, not the commit."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import dagster as dg

from face_assets.core.fingerprint import fingerprint
from face_assets.core.project_files import TRITON_MODELS
from face_assets.core.step_versions import step_version
from face_assets.orchestration.conditions import REDEPLOY, REWRITE
from face_assets.orchestration.jobs import COMMIT_TO_LIVE
from face_assets.orchestration.metadata import as_metadata, enforce_checks, provenance, user_errors
from face_assets.orchestration.pools import DEPLOYMENT
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.serving import docker_steps as containers
from face_assets.serving import machine_state as machine
from face_assets.serving import steps as serving
from face_assets.serving.model_repository import runtime_digest

GROUP = "serving"
# the schedule checks the live release once a day, with or without deployments
VERIFIED_DAILY = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=50), warn_window=timedelta(hours=26))


@dg.asset(
    group_name=GROUP,
    kinds={"triton"},
    deps=["recognizer_release"],
    automation_condition=REWRITE,
    code_version=fingerprint(step_version("serving"), runtime_digest(TRITON_MODELS)),
    pool=DEPLOYMENT,
    output_required=False,
)
def triton_model_repository(context: dg.AssetExecutionContext, platform: WorkspaceResource) -> Iterator[dg.MaterializeResult]:
    """Triton's model repository with the release in production, written whole next to the existing versions.

    The run for a commit whose release waits, or belongs to an experiment, ends before this where nothing is in production.
    """
    workspace = platform.workspace()
    with user_errors(context):
        if context.run.job_name == COMMIT_TO_LIVE and (sentence := serving.nothing_to_serve(workspace)):
            context.log.info(sentence)
            return
        assignment = serving.production(workspace)
        with serving.failure_recorded(workspace, assignment):
            version = serving.write_repository(workspace, assignment.release)
        facts = {
            "release": version.release,
            "release_commit": version.release_commit,
            "triton_version": version.number,
            "digest": version.digest,
        }
        facts |= {"stage_tag": assignment.tag, "path": Path(workspace.home.serving / "models")}
        facts |= serving.approval_facts(workspace, assignment.release)
        metadata = as_metadata(provenance(context, workspace, assignment.release.trained_commit) | facts)
        yield dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(version.digest))


@dg.asset(
    group_name=GROUP,
    kinds={"docker", "triton"},
    deps=["triton_model_repository"],
    automation_condition=REDEPLOY,
    code_version=step_version("triton_image"),
    pool=DEPLOYMENT,
)
def triton_image(context: dg.AssetExecutionContext, platform: WorkspaceResource) -> dg.MaterializeResult:
    """The container image of the release in production: Triton and the release's models; on the embedded target none is needed."""
    workspace = platform.workspace()
    with user_errors(context):
        assignment = serving.production(workspace)
        release = assignment.release
        facts = provenance(context, workspace, release.trained_commit) | {"release": release.version, "release_commit": release.commit}
        if workspace.settings.target == "embedded":
            facts |= {"image": "none: the embedded target needs no image", "path": Path(workspace.home.serving / "models")}
            return dg.MaterializeResult(metadata=as_metadata(facts), data_version=dg.DataVersion("none"))
        with serving.failure_recorded(workspace, assignment):
            built = containers.build_image(workspace, release, serving.write_repository(workspace, release))
            digest = containers.push_image(workspace, built.name)
        facts |= asdict(built) | {"path": Path(built.log or workspace.home.logs)}
        facts |= {"registry": workspace.settings.docker_registry, "pushed_digest": digest} if digest else {}
        return dg.MaterializeResult(metadata=as_metadata(facts), data_version=dg.DataVersion(built.id))


@dg.asset(
    group_name=GROUP,
    kinds={"triton"},
    deps=["triton_image"],
    automation_condition=REDEPLOY,
    pool=DEPLOYMENT,
    freshness_policy=VERIFIED_DAILY,
    code_version=step_version("serving"),
    check_specs=[
        dg.AssetCheckSpec("verified", asset="triton_deployment", description="answers as offline, within the latency budget", blocking=True)
    ],
)
def triton_deployment(context: dg.AssetExecutionContext, platform: WorkspaceResource) -> Iterator[dg.MaterializeResult]:
    """The running server: the release in production, verified with real requests before it took traffic."""
    workspace = platform.workspace()
    with user_errors(context):
        wanted = serving.production(workspace).release
        done = serving.deploy(workspace, context.log.info)
        settings = workspace.settings
        facts = asdict(done) | {"grpc": f"{settings.host}:{settings.grpc_port}", "http": f"{settings.host}:{settings.http_port}"}
        attempt = machine.last_attempt(workspace)
        facts |= {"path": Path(workspace.home.serving), "release_commit": wanted.commit, "since": attempt.since if attempt else None}
        facts |= serving.approval_facts(workspace, wanted)
        result: dg.MaterializeResult = dg.MaterializeResult(
            metadata=as_metadata(provenance(context, workspace, wanted.trained_commit) | facts),
            data_version=dg.DataVersion(done.live or "nothing"),
            check_results=[
                dg.AssetCheckResult(
                    check_name="verified",
                    passed=done.verified,
                    metadata=as_metadata(dict(done.report)),
                    description=f"{done.wanted}: {done.reason}; live is {done.live or 'nothing'}",
                )
            ],
        )
        yield from enforce_checks(context, result)
