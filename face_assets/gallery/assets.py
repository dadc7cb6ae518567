"""The asset face_gallery and its check."""

from collections.abc import Iterator

import dagster as dg

from face_assets.core.step_versions import step_version
from face_assets.gallery import steps
from face_assets.gallery.enrolled_photos import read_enrolled
from face_assets.gallery.gate import CHECKS
from face_assets.gallery.people_register import PeopleRegister, read_register, today
from face_assets.gallery.retention import check_enrolled
from face_assets.gallery.verdict import judge_gallery
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
    check_specs=[
        commit_check("face_gallery", "people_enrolled", "somebody is enrolled"),
        commit_check("face_gallery", "people_have_entries", "with people.csv, each enrolled person has an entry in force"),
        *(commit_check("face_gallery", name, description) for name, description in CHECKS.items()),
    ],
)
def face_gallery(
    context: dg.AssetExecutionContext,
    platform: WorkspaceResource,
    label_audit: Artifact,
    gallery_audit: Artifact,
    embedder_evaluation: Artifact,
    exported_embedder: Artifact,
) -> Iterator[dg.MaterializeResult]:
    """Templates of the enrolled people by this embedder, and the threshold below which a face is nobody's.

    A commit's changes of people are judged against production; `Acknowledge-Person: NAME` in its message accepts those that are meant.
    """
    workspace = platform.workspace()
    with user_errors(context):
        commit = commit_of(context, workspace)
        log = context.log.info
        register = read_register(workspace.repository, commit)
        artifact = steps.enroll(workspace, commit, label_audit, gallery_audit, embedder_evaluation, exported_embedder, log)
        verdict = judge_gallery(workspace, commit, embedder_evaluation, exported_embedder, artifact, log)
        checks = [_enrolled(artifact), _registered(artifact, register), *_gate(verdict)]
        yield from enforce_checks(context, materialized(context, workspace, artifact, checks=lambda: checks))


def _enrolled(artifact: Artifact) -> dg.AssetCheckResult:
    found = artifact.summary
    return dg.AssetCheckResult(
        check_name="people_enrolled",
        passed=found["people"] > 0,
        metadata={"people": found["people"], "without_a_face": found["people_without_face"]},
        description=f"{found['people']} people enrolled, {len(found['people_without_face'])} could not be: no photo with a usable face",
    )


def _registered(artifact: Artifact, register: PeopleRegister | None) -> dg.AssetCheckResult:
    found = check_enrolled(register, (face.identity for face in read_enrolled(artifact)), today())
    return dg.AssetCheckResult(
        check_name="people_have_entries", passed=found.passed, metadata={"people": found.counts}, description=found.description
    )


def _gate(verdict: Artifact) -> Iterator[dg.AssetCheckResult]:
    """The results of the gate's checks."""
    for name, found in verdict.summary["checks"].items():
        yield dg.AssetCheckResult(
            check_name=name,
            passed=found["passed"],
            metadata={
                "findings": found["findings"],
                "acknowledged": found["acknowledged"],
                "production": verdict.summary["production"] or "none",
            },
            description=found["description"],
        )
