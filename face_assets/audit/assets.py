"""The assets label_audit and gallery_audit, and their checks."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import dagster as dg

from face_assets.audit import gallery_steps, steps
from face_assets.audit.embedder import STARTING
from face_assets.audit.findings import Finding, read_findings
from face_assets.audit.reviewed import found_right
from face_assets.core.outside_text import shown
from face_assets.core.params import Audit
from face_assets.core.step_versions import step_version
from face_assets.dataset.photo_folders import person_key
from face_assets.orchestration.conditions import REMAKE
from face_assets.orchestration.metadata import ARTIFACT, commit_check, commit_of, enforce_checks, materialized, user_errors
from face_assets.orchestration.partitions import commits
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.registry.acknowledgements import acknowledged_names
from face_assets.registry.workspace import Workspace
from face_assets.storage.artifacts import Artifact

GROUP = "dataset"
SHOWN = 3


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
        checks = _checks(artifact, workspace.params(commit).audit, _Settled.at(workspace, commit))
        yield from enforce_checks(context, materialized(context, workspace, artifact, plots=["suspects"], checks=lambda: checks))


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
        settled = _Settled.at(workspace, commit)
        checks = _checks(artifact, workspace.params(commit).audit, settled, "gallery_labels_fit", "no_gallery_suspects")
        yield from enforce_checks(context, materialized(context, workspace, artifact, plots=["suspects"], checks=lambda: checks))


@dataclass(frozen=True)
class _Settled:
    """Decisions of people up to a commit, about what the audit finds again each time. names: keys of acknowledged people; right: True for a
    finding about a label that a review called right."""

    names: Collection[str]
    right: Callable[[Finding], bool]

    @staticmethod
    def at(workspace: Workspace, commit: str) -> "_Settled":
        names = {person_key(name) for name in acknowledged_names(workspace.repository, commit)}
        return _Settled(names, found_right(workspace.repository, commit))

    def is_open(self, finding: Finding) -> bool:
        """True for a finding about people whom nobody acknowledged, of `two_names` neither of the two, that no review called right."""
        names = [finding.identity, *([finding.agrees_with] if finding.kind == "two_names" else [])]
        return not any(person_key(name) in self.names for name in names) and not self.right(finding)


def _checks(
    artifact: Artifact, allowed: Audit, settled: _Settled, fit: str = "labels_fit", suspects: str = "no_suspects"
) -> list[dg.AssetCheckResult]:
    """The results of the two checks. settled: findings that count for no refusal."""
    findings = [Finding(**one) for one in read_findings(artifact.directory / steps.FINDINGS)]
    found, left = artifact.summary, [finding for finding in findings if settled.is_open(finding)]
    counted = steps.counts(left)
    rates = {
        "max_wrong_person": (counted["wrong_person"] / max(1, found["judged"]), "of the photos show another person"),
        "max_two_names": (counted["two_names"] / max(1, found["people"]), "of the people look like one under another name"),
        "max_two_people": (counted["people_mixed"] / max(1, found["people"]), "of the names hold photos of two people"),
    }
    limits = {key: getattr(allowed, key) for key in rates}
    stated = [f"{rate:.2%} {of} (audit.{key} allows {limits[key]:.1%})" for key, (rate, of) in rates.items()]
    listed = (
        f"{found['wrong_person']:,} photos show another person, {found['unlike']:,} are unlike their person, {found['two_names']:,} pairs "
        f"of names look like one person, {found['people_mixed']:,} names hold two people; `face-assets audit` lists them"
    )
    fits, refuses = all(rate <= limits[key] for key, (rate, _) in rates.items()), found["embedder"] == STARTING
    if not fits:
        examples = "; ".join([shown(f"{one.path} {one.reason}") for one in left if one.kind != "unlike"][:SHOWN])
        stated.append(
            f"such as: {examples}. `face-assets audit` lists all: mend them, or acknowledge the people, if it is meant so, by "
            "`face-assets commit -m … --acknowledge NAME`"
        )
        if not refuses:
            stated.append(f"reported, not refused: judged by the {found['embedder']}, which learned from such labels")
    unable = f"Labels were not judged: {found['unable']}"
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
