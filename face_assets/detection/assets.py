"""The asset aligned_faces and its check."""

from collections.abc import Iterator

import dagster as dg

from face_assets.core.step_versions import step_version
from face_assets.detection import steps
from face_assets.orchestration.conditions import REMAKE
from face_assets.orchestration.metadata import ARTIFACT, commit_check, commit_of, enforce_checks, materialized, user_errors
from face_assets.orchestration.partitions import commits
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.storage.artifacts import Artifact

GROUP = "dataset"


@dg.asset(
    group_name=GROUP,
    partitions_def=commits,
    automation_condition=REMAKE,
    dagster_type=ARTIFACT,
    kinds={"openvino"},
    code_version=step_version("aligned_faces"),
    check_specs=[commit_check("aligned_faces", "faces_found", "few enough photos have no usable face")],
)
def aligned_faces(
    context: dg.AssetExecutionContext, platform: WorkspaceResource, dataset_version: Artifact
) -> Iterator[dg.MaterializeResult]:
    """The cropped face of each photo's subject, found by MTCNN; known photos are not detected again."""
    workspace = platform.workspace()
    with user_errors(context):
        commit = commit_of(context, workspace)
        artifact = steps.align_dataset(workspace, commit, dataset_version, context.log.info)
        allowed = workspace.params(commit).detector.max_rejected
        yield from enforce_checks(
            context,
            materialized(
                context,
                workspace,
                artifact,
                plots=("sample", "rejected"),
                checks=lambda: [_faces_check(artifact, allowed)],
            ),
        )


def _faces_check(artifact: Artifact, allowed: float) -> dg.AssetCheckResult:
    found = artifact.summary
    return dg.AssetCheckResult(
        check_name="faces_found",
        passed=found["found"] > 0 and found["rejected_rate"] <= allowed,
        metadata={"rejected_rate": found["rejected_rate"], "allowed": allowed, "examples": found["rejected_examples"]},
        description=f"{found['rejected_rate']:.2%} of {found['photos']} photos cannot be used: {found['none']} without a face, "
        f"{found['unusable']} unreadable, {found['contradictions']} under two people; detector.max_rejected allows {allowed:.1%}",
    )
