"""The asset face_gallery and its check."""

from collections.abc import Iterator

import dagster as dg

from face_assets.core.step_versions import step_version
from face_assets.gallery import steps
from face_assets.orchestration.conditions import REMAKE
from face_assets.orchestration.metadata import ARTIFACT, commit_check, commit_of, enforce_checks, materialized, user_errors
from face_assets.orchestration.partitions import commits
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.storage.artifacts import Artifact

GROUP = "release"


@dg.asset(
    group_name=GROUP,
    partitions_def=commits,
    automation_condition=REMAKE,
    dagster_type=ARTIFACT,
    code_version=step_version("face_gallery"),
    check_specs=[commit_check("face_gallery", "people_enrolled", "somebody is enrolled")],
)
def face_gallery(
    context: dg.AssetExecutionContext,
    platform: WorkspaceResource,
    label_audit: Artifact,
    gallery_audit: Artifact,
    embedder_evaluation: Artifact,
    exported_embedder: Artifact,
) -> Iterator[dg.MaterializeResult]:
    """Templates of the enrolled people by this embedder, and the threshold below which a face is nobody's."""
    workspace = platform.workspace()
    with user_errors(context):
        commit = commit_of(context, workspace)
        artifact = steps.enroll(workspace, commit, label_audit, gallery_audit, embedder_evaluation, exported_embedder, context.log.info)
        yield from enforce_checks(context, materialized(context, workspace, artifact, checks=lambda: [_enrolled(artifact)]))


def _enrolled(artifact: Artifact) -> dg.AssetCheckResult:
    found = artifact.summary
    return dg.AssetCheckResult(
        check_name="people_enrolled",
        passed=found["people"] > 0,
        metadata={"people": found["people"], "without_a_face": found["people_without_face"]},
        description=f"{found['people']} people enrolled, {len(found['people_without_face'])} could not be: no photo with a usable face",
    )
