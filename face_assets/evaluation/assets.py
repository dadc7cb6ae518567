"""The asset embedder_evaluation and its gate."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from face_assets.core.step_versions import step_version
from face_assets.evaluation import steps
from face_assets.evaluation.face_quality import QUALITY
from face_assets.evaluation.group_figures import groups_markdown
from face_assets.evaluation.stress_table import stress_markdown
from face_assets.orchestration.conditions import REMAKE
from face_assets.orchestration.metadata import ARTIFACT, commit_check, commit_of, enforce_checks, materialized, user_errors
from face_assets.orchestration.partitions import commits
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.storage.artifacts import Artifact

GROUP = "embedder"
PLOTS = ("roc", "det", "scores", "stress", "discard")


@dg.asset(
    group_name=GROUP,
    partitions_def=commits,
    automation_condition=REMAKE,
    dagster_type=ARTIFACT,
    kinds={"scikitlearn"},
    code_version=step_version("embedder_evaluation"),
    check_specs=[commit_check("embedder_evaluation", "gate", "good enough, and not worse than production")],
)
def embedder_evaluation(
    context: dg.AssetExecutionContext, platform: WorkspaceResource, label_audit: Artifact, exported_embedder: Artifact
) -> Iterator[dg.MaterializeResult]:
    """Verification figures of the exported engine on all pairs of the test identities, with those of starting weights and production."""
    workspace = platform.workspace()
    with user_errors(context):
        commit = commit_of(context, workspace)
        artifact = steps.evaluate_embedder(workspace, commit, label_audit, exported_embedder, context.log.info)
        more = _single_figures(artifact) | _groups(artifact) | _stress(artifact, workspace.params(commit).evaluation.far)
        more["people_left_out_as_seen"] = label_audit.summary["people_seen_under_another_name"]
        yield from enforce_checks(context, materialized(context, workspace, artifact, PLOTS, lambda: [_gate(artifact)], **more))


def _groups(artifact: Artifact) -> dict[str, Any]:
    """The tables of the figures by group, if there are any."""
    found = artifact.summary
    return {"by_group": dg.MetadataValue.md(groups_markdown(found["groups"], found["group_notes"]))} if found["groups"] else {}


def _stress(artifact: Artifact, far: float) -> dict[str, Any]:
    """The stress table, if there is one."""
    table = stress_markdown(artifact.summary["stress"]["rows"], far)
    return {"by_condition": dg.MetadataValue.md(table)} if table else {}


def _single_figures(artifact: Artifact) -> dict[str, Any]:
    """The trained embedder's figures as single numbers, which the UI plots over the commits."""
    trained = artifact.summary["figures"]["trained"]
    tar = {f"tar_at_far_{far}": value for far, value in trained["tar"].items() if value is not None}
    found = artifact.summary["recognition"]["trained"]
    rates = {"fnir": found["fnir"], "failure_to_acquire": found["failures_to_acquire"] / found["photos"]}
    figures = {name: trained[name] for name in ("auc", "accuracy", "eer")} | rates | _quality_figures(artifact)
    return {name: value for name, value in figures.items() if value is not None} | tar


def _quality_figures(artifact: Artifact) -> dict[str, float | None]:
    """FNMR without the tenth of the photos of lowest quality, and FNIR by several photos of a person."""
    discard, several = artifact.summary["quality"], artifact.summary["several_photos"]
    best = dict(zip(discard["discarded"], discard["fnmr"][QUALITY], strict=True))
    figures = {"fnmr_of_all_photos": best[0.0], "fnmr_without_the_worst_tenth": best[0.1]}
    return figures | {f"fnir_of_{count}_photos": rate for count, rate in (several["fnir"] if several else {}).items()}


def _gate(artifact: Artifact) -> dg.AssetCheckResult:
    found = artifact.summary
    return dg.AssetCheckResult(
        check_name="gate",
        passed=found["passed"],
        metadata={
            "figures": found["figures"],
            "reasons": found["reasons"],
            "notes": found["gate_notes"],
            "beside": found["recognition"]["beside"],
            "people_lost": found["people_lost"],
            "production": found["production"] or "none",
        },
        description="; ".join(found["reasons"])
        or "every floor is reached, and no release of the production line is better beyond the margin",
    )
