"""`face-assets exporter`: the platform's metrics for Prometheus, from the event log, the mirror and the server."""

import shutil
import threading
import time
from collections.abc import Iterable
from datetime import datetime

import dagster as dg
from prometheus_client.core import Metric

from face_assets.core.ports import require_free
from face_assets.core.settings import load_settings
from face_assets.event_log import pipeline_facts
from face_assets.event_log.instance import open_instance
from face_assets.event_log.run_totals import count_runs
from face_assets.monitoring import facts
from face_assets.monitoring.committed_feedback import committed_feedback
from face_assets.monitoring.exposition import Log, MetricsCollector, serve
from face_assets.monitoring.feedback import Estimate, estimates
from face_assets.orchestration import jobs
from face_assets.registry.stages import Assignment
from face_assets.registry.workspace import Workspace
from face_assets.serving.machine_state import observe
from face_assets.serving.steps import target

SECONDS_BETWEEN_SETTINGS = 5.0
MOST_RELEASES = 100  # with feedback: each is a series of Prometheus, and people write their names
JOBS = (jobs.COMMIT_TO_LIVE, jobs.COMMIT_TO_EVALUATION, jobs.DEPLOY_PRODUCTION)


class Platform:
    """Sources of the exporter. Nothing is fetched: production is read from the mirror, which the sensors refresh."""

    def __init__(self, instance: dg.DagsterInstance):
        self.instance = instance
        self._refs = b""
        self._production: Assignment | None = None
        self._workspace: Workspace | None = None
        self._loaded = float("-inf")
        self._lock = threading.Lock()
        self._feedback_of: tuple[Workspace, list[str]] | None = None
        self._estimates: list[Estimate] = []
        self._unreadable = 0

    def workspace(self) -> Workspace:
        """Returns the workspace of the current settings, which `face-assets run --repo` may change meanwhile."""
        with self._lock:
            if self._workspace is None or time.monotonic() - self._loaded > SECONDS_BETWEEN_SETTINGS:
                found = Workspace(load_settings())
                if self._workspace is None or found.settings != self._workspace.settings:
                    self._workspace, self._refs = found, b""
                self._loaded = time.monotonic()
            return self._workspace

    def production(self) -> Assignment | None:
        """Returns the assignment of production, read again only when a tag has changed. Raises UserError."""
        workspace = self.workspace()
        if not workspace.settings.repo:
            return None
        refs = workspace.repository.git("for-each-ref", "--format=%(objectname)", "refs/tags/face-recognizer*")
        with self._lock:
            if refs != self._refs:
                self._production, self._refs = workspace.stages.production(), refs
            return self._production

    def collectors(self) -> list[MetricsCollector]:
        """Returns the collectors of all metrics."""
        instance = self.instance
        return [
            MetricsCollector("production", self._release),
            MetricsCollector("decision", self._decision),
            MetricsCollector("datasets", self._datasets),
            MetricsCollector("runs", self._runs),
            MetricsCollector("sensors", lambda: facts.sensor_metrics(pipeline_facts.sensors(instance))),
            MetricsCollector("daemons", lambda: facts.daemon_metrics(pipeline_facts.heartbeats(instance))),
            MetricsCollector("commits", lambda: facts.waiting_metrics(pipeline_facts.waiting(instance))),
            MetricsCollector("server", self._server),
            MetricsCollector("drift", self._drift),
            MetricsCollector("feedback", self._feedback),
            MetricsCollector("disk", self._disk),
        ]

    def _release(self) -> Iterable[Metric]:
        assignment = self.production()
        if assignment is None:
            return []
        release = assignment.release
        repository = self.workspace().repository
        pointer = repository.pointer(release.trained_commit, "photos")
        return facts.release_metrics(
            facts.ReleaseFacts(
                version=release.version,
                commit=release.trained_commit,
                dataset_version=pointer.md5 if pointer else "",
                assigned=datetime.fromisoformat(assignment.time).timestamp(),
                committed=datetime.fromisoformat(repository.commit_info(release.trained_commit).time).timestamp(),
                figures=facts.flat_figures(release.metrics),
            )
        )

    def _datasets(self) -> Iterable[Metric]:
        assignment = self.production()
        return facts.dataset_metrics(pipeline_facts.datasets(self.instance, assignment.release.trained_commit if assignment else None))

    def _runs(self) -> Iterable[Metric]:
        totals, queue = count_runs(self.instance, self.workspace().home)
        return [*facts.totals_metrics(totals, JOBS), *facts.queue_metrics(queue)]

    def _server(self) -> Iterable[Metric]:
        status = target(self.workspace()).status()
        assignment = self.production()
        live = status.live if status.running else None
        agrees = (live is not None and live.release_commit == assignment.release.commit) if assignment else None
        seen = observe(self.workspace(), assignment, status)
        since = datetime.fromisoformat(seen.since).timestamp() if seen.since else None
        release = live.release if live else None
        return facts.server_metrics(facts.ServerFacts(status.running, status.ready, release, agrees, since, seen.wanted, seen.trouble))

    def _decision(self) -> Iterable[Metric]:
        workspace = self.workspace()
        if not workspace.settings.repo:
            return []
        waits = [
            datetime.fromisoformat(one.time).timestamp() if one else None
            for one in (workspace.stages.waiting(), workspace.stages.candidate())
        ]
        return facts.decision_metrics(workspace.stages.hold() is not None, *waits)

    def _drift(self) -> Iterable[Metric]:
        found = pipeline_facts.last_drift(self.instance)
        return facts.drift_metrics(*found) if found else []

    def _feedback(self) -> Iterable[Metric]:
        workspace = self.workspace()
        if not workspace.settings.repo:
            return []
        commits = workspace.production_heads()
        if self._feedback_of != (workspace, commits):
            found, problems = committed_feedback(workspace, commits)
            self._estimates, self._unreadable = estimates(found)[-MOST_RELEASES:], len(problems)
            self._feedback_of = (workspace, commits)
        return facts.feedback_metrics(self._estimates, self._unreadable)

    def _disk(self) -> Iterable[Metric]:
        usage = shutil.disk_usage(self.workspace().home.root)
        return facts.disk_metrics(usage.free, usage.total)


def run_exporter(log: Log) -> None:
    """Serves scrapes until it is stopped. Raises UserError when the port is taken."""
    settings = load_settings()
    workspace = Workspace(settings)
    require_free(settings.ui_host, settings.exporter_port, "the exporter", "FACE_ASSETS_EXPORTER_PORT")
    with open_instance(workspace.home) as instance:
        server, thread = serve(Platform(instance).collectors(), settings.ui_host, settings.exporter_port, log)
        log(f"metrics at http://{settings.ui_host}:{settings.exporter_port}/metrics")
        try:
            thread.join()
        finally:
            server.shutdown()
