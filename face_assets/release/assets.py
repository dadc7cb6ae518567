"""The group release: face_gallery and recognizer_release."""

from collections.abc import Iterator

import dagster as dg

from face_assets.core.step_versions import code_version
from face_assets.gallery import steps as gallery
from face_assets.orchestration.conditions import REMAKE
from face_assets.orchestration.metadata import ARTIFACT, commit_check, commit_of, judged, materialized, user_errors
from face_assets.orchestration.partitions import commits
from face_assets.orchestration.pools import REGISTRATION
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.release import steps as release
from face_assets.storage.artifacts import Artifact

GROUP = "release"


@dg.asset(
    group_name=GROUP,
    partitions_def=commits,
    automation_condition=REMAKE,
    dagster_type=ARTIFACT,
    code_version=code_version(*gallery.CODE),
    check_specs=[commit_check("face_gallery", "people_enrolled", "somebody is enrolled")],
)
def face_gallery(
    context: dg.AssetExecutionContext,
    platform: WorkspaceResource,
    aligned_faces: Artifact,
    embedder_evaluation: Artifact,
    exported_embedder: Artifact,
) -> Iterator[dg.MaterializeResult]:
    """The enrolled people under this embedder, and the threshold at which a stranger is refused."""
    workspace = platform.workspace()
    with user_errors(context):
        commit = commit_of(context, workspace)
        artifact = gallery.enroll(workspace, commit, aligned_faces, embedder_evaluation, exported_embedder, context.log.info)
        yield from judged(context, materialized(context, workspace, artifact, checks=lambda: [_enrolled(artifact)]))


def _enrolled(artifact: Artifact) -> dg.AssetCheckResult:
    found = artifact.summary
    return dg.AssetCheckResult(
        check_name="people_enrolled",
        passed=found["people"] > 0,
        metadata={"people": found["people"], "without_a_face": found["people_without_face"]},
        description=f"{found['people']} people enrolled, {len(found['people_without_face'])} could not be: no photo with a usable face",
    )


@dg.asset(
    group_name=GROUP,
    partitions_def=commits,
    automation_condition=REMAKE,
    dagster_type=ARTIFACT,
    kinds={"dvc", "git"},
    code_version=code_version(*release.CODE),
    pool=REGISTRATION,
)
def recognizer_release(
    context: dg.AssetExecutionContext,
    platform: WorkspaceResource,
    dataset_version: Artifact,
    aligned_faces: Artifact,
    face_embedder: Artifact,
    embedder_evaluation: Artifact,
    exported_embedder: Artifact,
    face_gallery: Artifact,
) -> dg.MaterializeResult:
    """The immutable bundle, tracked by DVC and tagged in git; the gate's verdict decides whether it goes to production."""
    workspace = platform.workspace()
    with user_errors(context):
        commit = commit_of(context, workspace)
        parts = release.Parts(dataset_version, aligned_faces, face_embedder, embedder_evaluation, exported_embedder, face_gallery)
        artifact = release.make_release(workspace, commit, parts, context.log.info)
        card = dg.MetadataValue.md((artifact.directory / "model_card.md").read_text(encoding="utf-8"))
        return materialized(context, workspace, artifact, model_card=card)
