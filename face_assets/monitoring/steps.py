"""Steps live_traffic and drift_report: an hour's traffic, and its comparison with the release's reference."""

from dataclasses import dataclass

from face_assets.core.errors import UserError
from face_assets.core.files import write_bytes
from face_assets.core.identifiers import quoted
from face_assets.core.params import Monitoring
from face_assets.monitoring.drift import DriftReport, judge
from face_assets.monitoring.plots import drift_plot
from face_assets.monitoring.reports import write_reports
from face_assets.monitoring.windows import NAME, Window, read_window
from face_assets.registry.workspace import Workspace
from face_assets.release.traffic_reference import find_reference


@dataclass(frozen=True)
class Drift:
    """The reports of a window, the release with most photos first, and the plot of that one where it has a verdict."""

    reports: list[DriftReport]
    plot: bytes | None


def live_window(workspace: Workspace, name: str) -> Window:
    """Returns the traffic of the hour with this name. Raises UserError for another name."""
    return read_window(workspace.home.traffic, _hour(name))


def report_drift(workspace: Workspace, name: str) -> Drift:
    """Compares a window with the references of its releases, and stores the reports."""
    window = read_window(workspace.home.traffic, _hour(name))
    settings = monitoring_params(workspace)
    reports: list[DriftReport] = []
    plot: bytes | None = None
    for histograms in sorted(window.releases.values(), key=lambda one: -one.photos):
        reference, without = find_reference(workspace, histograms.release)
        report = judge(name, histograms, reference, settings.min_photos, without)
        if reference and report.features and not reports:
            plot = drift_plot(report, histograms, reference)
        reports.append(report)
    file = write_reports(workspace.home.monitoring, name, reports)
    if plot:
        write_bytes(file.with_suffix(".png"), plot)
    return Drift(reports, plot)


def _hour(name: str) -> str:
    """Returns the name of a window, which is that of a folder. Raises UserError for another text."""
    if not NAME.fullmatch(name):
        raise UserError(f"{quoted(name)} is not an hour such as 2026-01-31-09:00.")
    return name


def monitoring_params(workspace: Workspace) -> Monitoring:
    """Returns the parameters of production's commit; the defaults where nothing is in production."""
    production = workspace.stages.production()
    return workspace.params(production.commit).monitoring if production else Monitoring()
