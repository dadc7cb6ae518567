"""The assets label_audit and gallery_audit, and their checks."""

from collections.abc import Iterator

import dagster as dg

from face_assets.audit import gallery_steps, steps
from face_assets.audit.embedder import STARTING
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
        commit_check("label_audit", "labels_fit", "few enough labels are contradicted by the faces"),
        commit_check("label_audit", "no_suspects", "no label is contradicted by a face", blocking=False),
    ],
)
def label_audit(context: dg.AssetExecutionContext, platform: WorkspaceResource, aligned_faces: Artifact) -> Iterator[dg.MaterializeResult]:
    """The list of faces for all that follows, and the photos and people whose labels the faces contradict."""
    workspace = platform.workspace()
    with user_errors(context):
        commit = commit_of(context, workspace)
        artifact = steps.audit_labels(workspace, commit, aligned_faces, context.log.info)
        allowed = workspace.params(commit).audit
        yield from enforce_checks(
            context, materialized(context, workspace, artifact, plots=["suspects"], checks=lambda: _checks(artifact, allowed))
        )


@dg.asset(
    group_name="release",
    partitions_def=commits,
    automation_condition=REMAKE,
    dagster_type=ARTIFACT,
    code_version=step_version("gallery_audit"),
    check_specs=[
        commit_check("gallery_audit", "gallery_labels_fit", "few enough labels of the gallery are contradicted by the faces"),
        commit_check("gallery_audit", "no_gallery_suspects", "no label of the gallery is contradicted by a face", blocking=False),
    ],
)
def gallery_audit(context: dg.AssetExecutionContext, platform: WorkspaceResource, label_audit: Artifact) -> Iterator[dg.MaterializeResult]:
    """The photos and people of gallery.dvc whose labels the faces contradict; none without gallery.dvc."""
    workspace = platform.workspace()
    with user_errors(context):
        commit = commit_of(context, workspace)
        artifact = gallery_steps.audit_gallery(workspace, commit, label_audit, context.log.info)
        checks = _checks(artifact, workspace.params(commit).audit, "gallery_labels_fit", "no_gallery_suspects")
        yield from enforce_checks(context, materialized(context, workspace, artifact, plots=["suspects"], checks=lambda: checks))


def _checks(artifact: Artifact, allowed: Audit, fit: str = "labels_fit", suspects: str = "no_suspects") -> list[dg.AssetCheckResult]:
    found = artifact.summary
    rates = {
        "max_wrong_person": (found["wrong_person"] / max(1, found["judged"]), "of the photos show another person"),
        "max_two_names": (found["two_names"] / max(1, found["people"]), "of the people look like one under another name"),
        "max_two_people": (found["people_mixed"] / max(1, found["people"]), "of the names hold photos of two people"),
    }
    limits = {key: getattr(allowed, key) for key in rates}
    stated = [f"{rate:.2%} {of} (audit.{key} allows {limits[key]:.1%})" for key, (rate, of) in rates.items()]
    listed = (
        f"{found['wrong_person']:,} photos show another person, {found['unlike']:,} are unlike their person, {found['two_names']:,} pairs "
        f"of names look like one person, {found['people_mixed']:,} names hold two people; `face-assets audit` lists them"
    )
    unable = f"Labels were not judged: {found['unable']}"
    fits = all(rate <= limits[key] for key, (rate, _) in rates.items())
    refuses = found["embedder"] == STARTING
    if not fits and not refuses:
        stated.append(f"reported, not refused: judged by the {found['embedder']}, which learned from such labels")
    return [
        dg.AssetCheckResult(
            check_name=fit,
            passed=fits or not refuses,
            metadata={"rates": {key: rate for key, (rate, _) in rates.items()}, "allowed": limits},
            description=unable if found["unable"] else "; ".join(stated),
        ),
        dg.AssetCheckResult(
            check_name=suspects,
            passed=not found["findings"] and not found["unable"],
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"findings": found["findings"]},
            description=unable if found["unable"] else listed,
        ),
    ]
