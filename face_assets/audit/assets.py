"""The asset label_audit and its check."""

from collections.abc import Iterator

import dagster as dg

from face_assets.audit import steps
from face_assets.core.params import Audit
from face_assets.core.step_versions import step_version
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
    code_version=step_version("label_audit"),
    check_specs=[
        commit_check("label_audit", "labels_fit", "few enough photos look like another person than the one they are filed under"),
        commit_check("label_audit", "no_suspects", "no photo looks like another person than the one it is filed under", blocking=False),
    ],
)
def label_audit(context: dg.AssetExecutionContext, platform: WorkspaceResource, aligned_faces: Artifact) -> Iterator[dg.MaterializeResult]:
    """The list of faces for all that follows, and the photos and people whose labels the faces contradict."""
    workspace = platform.workspace()
    with user_errors(context):
        commit = commit_of(context, workspace)
        artifact = steps.audit_labels(workspace, commit, aligned_faces, context.log.info)
        allowed = workspace.params(commit).audit
        yield from enforce_checks(context, materialized(context, workspace, artifact, checks=lambda: _checks(artifact, allowed)))


def _checks(artifact: Artifact, allowed: Audit) -> list[dg.AssetCheckResult]:
    found = artifact.summary
    rate = found["wrong_person"] / max(1, found["judged"])
    said = f"{found['wrong_person']:,} of {found['judged']:,} photos ({rate:.2%}) are nearer to another person"
    described = f"Labels were not judged: {found['unable']}" if found["unable"] else said
    return [
        dg.AssetCheckResult(
            check_name="labels_fit",
            passed=rate <= allowed.max_wrong_person,
            metadata={"wrong_person": found["wrong_person"], "rate": rate, "allowed": allowed.max_wrong_person},
            description=described if found["unable"] else f"{said}; audit.max_wrong_person allows {allowed.max_wrong_person:.1%}",
        ),
        dg.AssetCheckResult(
            check_name="no_suspects",
            passed=not found["findings"] and not found["unable"],
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"findings": found["findings"]},
            description=described,
        ),
    ]
