"""The group serving: triton_model_repository and triton_deployment, which follow the stage, not the commit."""

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import dagster as dg

from face_assets.assets.metadata import as_metadata, provenance, user_errors
from face_assets.automation.conditions import REDEPLOY, REWRITE
from face_assets.automation.pools import DEPLOYMENT
from face_assets.code_version import code_version
from face_assets.fingerprint import fingerprint
from face_assets.pipeline import serving
from face_assets.resources.workspace import WorkspaceResource
from face_assets.serving.model_repository import code_digest

GROUP = "serving"
# the schedule verifies what is live once a day, deployments or not
VERIFIED_DAILY = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=50), warn_window=timedelta(hours=26))


@dg.asset(
    group_name=GROUP,
    kinds={"triton"},
    deps=["recognizer_release"],
    automation_condition=REWRITE,
    code_version=fingerprint(code_version(*serving.CODE), code_digest(serving.TEMPLATES)),
    pool=DEPLOYMENT,
)
def triton_model_repository(context: dg.AssetExecutionContext, platform: WorkspaceResource) -> dg.MaterializeResult:
    """Triton's model repository with the release in production, written whole beside the versions that are there."""
    workspace = platform.workspace()
    with user_errors(context):
        assignment = serving.production(workspace)
        version = serving.write_repository(workspace, assignment.release)
        facts = {
            "release": version.release,
            "release_commit": version.release_commit,
            "triton_version": version.number,
            "digest": version.digest,
        }
        facts |= {"stage_tag": assignment.tag, "path": Path(workspace.home.serving / "models")}
        metadata = as_metadata(provenance(context, workspace, assignment.release.trained_commit) | facts)
        return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(version.digest))


@dg.asset(
    group_name=GROUP,
    kinds={"triton"},
    deps=["triton_model_repository"],
    automation_condition=REDEPLOY,
    pool=DEPLOYMENT,
    freshness_policy=VERIFIED_DAILY,
    code_version=code_version(*serving.CODE),
    check_specs=[
        dg.AssetCheckSpec("verified", asset="triton_deployment", description="answers as offline, within the latency budget", blocking=True)
    ],
)
def triton_deployment(context: dg.AssetExecutionContext, platform: WorkspaceResource) -> dg.MaterializeResult:
    """The running server: the release in production, verified with real requests before it took traffic."""
    workspace = platform.workspace()
    with user_errors(context):
        wanted = serving.production(workspace).release
        done = serving.deploy(workspace, context.log.info)
        settings = workspace.settings
        facts = asdict(done) | {"grpc": f"{settings.host}:{settings.grpc_port}", "http": f"{settings.host}:{settings.http_port}"}
        facts |= {"path": Path(workspace.home.serving), "release_commit": wanted.commit}
        return dg.MaterializeResult(
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
