"""The asset recognizer_release."""

from collections.abc import Iterator

import dagster as dg

from face_assets.core.step_versions import step_version
from face_assets.orchestration.conditions import REMAKE
from face_assets.orchestration.metadata import ARTIFACT, commit_of, materialized, user_errors
from face_assets.orchestration.partitions import commits
from face_assets.orchestration.pools import REGISTRATION
from face_assets.orchestration.step_failures import refusal
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.release import steps as release
from face_assets.storage.artifacts import Artifact

GROUP = "release"


@dg.asset(
    group_name=GROUP,
    partitions_def=commits,
    automation_condition=REMAKE,
    dagster_type=ARTIFACT,
    kinds={"dvc", "git"},
    code_version=step_version("recognizer_release"),
    pool=REGISTRATION,
)
def recognizer_release(
    context: dg.AssetExecutionContext,
    platform: WorkspaceResource,
    dataset_version: Artifact,
    aligned_faces: Artifact,
    label_audit: Artifact,
    face_embedder: Artifact,
    embedder_evaluation: Artifact,
    exported_embedder: Artifact,
    face_gallery: Artifact,
) -> Iterator[dg.MaterializeResult]:
    """The immutable bundle, tracked by DVC and tagged in git; the gate's verdict decides whether it goes to production.

    If production changed during the run, the gate judges again. A release that then fails it is registered, and the run is refused.
    """
    workspace = platform.workspace()
    with user_errors(context):
        commit = commit_of(context, workspace)
        parts = release.Parts(
            dataset_version, aligned_faces, label_audit, face_embedder, embedder_evaluation, exported_embedder, face_gallery
        )
        artifact = release.make_release(workspace, commit, parts, context.log.info)
        card = dg.MetadataValue.md((artifact.directory / "model_card.md").read_text(encoding="utf-8"))
        yield materialized(context, workspace, artifact, model_card=card)
        if artifact.summary["refused"]:
            raise refusal(context, f"{artifact.summary['release']} is {artifact.summary['stage_reason']}")
