"""The steps live_traffic and drift_report: what the server saw in an hour, and whether its release was tested on the like."""

from dataclasses import dataclass

from face_assets.core.errors import UserError
from face_assets.core.files import write_bytes
from face_assets.core.identifiers import shown
from face_assets.core.params import Monitoring
from face_assets.monitoring.drift import DriftReport, judge
from face_assets.monitoring.plots import drift_plot
from face_assets.monitoring.reports import write_reports
from face_assets.monitoring.windows import NAME, Window, read_window
from face_assets.registry.workspace import Workspace
from face_assets.release.traffic_reference import find_reference


@dataclass(frozen=True)
class Drift:
    """The reports of a window, the release with most photos first, and the picture of that one where it has a verdict."""

    reports: list[DriftReport]
    plot: bytes | None


def live_window(workspace: Workspace, name: str) -> Window:
    """What the server saw in the hour that begins then."""
    return read_window(workspace.home.traffic, _hour(name))


def report_drift(workspace: Workspace, name: str) -> Drift:
    """Compares a window with the references of the releases that answered in it, and keeps the reports."""
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
    """The name of a window, which is a folder's. Raises UserError."""
    if not NAME.fullmatch(name):
        raise UserError(f"{shown(name)} is not an hour such as 2026-01-31-09:00.")
    return name


def monitoring_params(workspace: Workspace) -> Monitoring:
    """The parameters of the commit that production stands for; the defaults where nothing is in production."""
    production = workspace.stages.production()
    return workspace.params(production.commit).monitoring if production else Monitoring()
