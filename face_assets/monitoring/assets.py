"""The group monitoring: live_traffic and drift_report, partitioned by hour."""

from collections.abc import Sequence

import dagster as dg

from face_assets.core.step_versions import step_version
from face_assets.evaluation.feature_histograms import COUNTS
from face_assets.monitoring import steps as monitoring
from face_assets.monitoring.drift import DriftReport
from face_assets.orchestration.metadata import as_metadata, picture_of, user_errors
from face_assets.orchestration.partitions import hours
from face_assets.orchestration.workspace_resource import WorkspaceResource

GROUP = "monitoring"


@dg.asset(
    group_name=GROUP,
    partitions_def=hours,
    kinds={"triton"},
    deps=["triton_deployment"],
    code_version=step_version("live_traffic"),
)
def live_traffic(context: dg.AssetExecutionContext, platform: WorkspaceResource) -> dg.MaterializeResult:
    """Feature histograms of an hour's traffic by release, which contain no face (docs/explanation/drift.md)."""
    workspace = platform.workspace()
    with user_errors(context):
        window = monitoring.live_window(workspace, context.partition_key)
        for problem in window.problems:
            context.log.warning(problem)
        totals = {name: sum(getattr(histograms, name) for histograms in window.releases.values()) for name in COUNTS}
        facts = totals | {
            "releases": {release: {name: getattr(histograms, name) for name in COUNTS} for release, histograms in window.releases.items()},
            "unreadable_files": list(window.problems),
            "path": workspace.home.traffic / window.name,
        }
        return dg.MaterializeResult(metadata=as_metadata(facts))


@dg.asset(
    group_name=GROUP,
    partitions_def=hours,
    deps=["live_traffic"],
    code_version=step_version("drift_report"),
    check_specs=[
        dg.AssetCheckSpec(
            "no_drift", asset="drift_report", partitions_def=hours, description="the photos look like those that the release was tested on"
        )
    ],
)
def drift_report(context: dg.AssetExecutionContext, platform: WorkspaceResource) -> dg.MaterializeResult:
    """Comparison of an hour's traffic with the references of the releases: PSI, Wasserstein, KS, and a verdict."""
    workspace = platform.workspace()
    with user_errors(context):
        drift = monitoring.report_drift(workspace, context.partition_key)
        plot = {"histograms": picture_of(drift.plot, "drift")} if drift.plot else {}
        facts: dict[str, object] = _figures(drift.reports[0]) if drift.reports else {"photos": 0}
        facts |= {"sentences": {report.release: report.sentence for report in drift.reports}}
        return dg.MaterializeResult(metadata=as_metadata({**plot, **facts}), check_results=[_no_drift(drift.reports)])


def _figures(report: DriftReport) -> dict[str, object]:
    """Returns the figures of the release with most photos: single numbers, which the UI plots over the hours."""
    found: dict[str, object] = {"release": report.release, "verdict": report.verdict, "photos": report.photos}
    found |= {"without_face_rate": round(report.without_face / report.photos, 4)} if report.photos else {}
    if report.features:
        found |= {"drift": int(report.verdict == "drift"), "farthest": max(one.excess for one in report.features)}
        found |= {f"psi_{one.name}": one.psi for one in report.features}
        found |= {"features": [{"name": one.name, "mean": one.mean, "reference": one.reference_mean} for one in report.features]}
    return found


def _no_drift(reports: Sequence[DriftReport]) -> dg.AssetCheckResult:
    """Returns the check: failed where a release drifted, a warning where one has no reference."""
    verdicts = {report.verdict for report in reports}
    severity = dg.AssetCheckSeverity.ERROR if "drift" in verdicts else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        check_name="no_drift",
        passed=not verdicts & {"drift", "no_reference"},
        severity=severity,
        metadata=as_metadata({"drifted": {report.release: report.drifted for report in reports if report.drifted}}),
        description="; ".join(f"{report.release}: {report.sentence}" for report in reports) or "no traffic in this hour",
    )
