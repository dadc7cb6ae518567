"""Facts of the platform, and their metrics: the one place with the names of the exporter's metrics."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from face_assets.monitoring.feedback import Estimate

BUCKETS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0)
"""Seconds of runs and steps, from a step with an existing result to a training on a large data set."""

OUTCOMES = ("done", "refused", "failed", "canceled")


@dataclass(frozen=True)
class ReleaseFacts:
    """The release in production. Times: seconds since the epoch; figures: flat, named as in metrics.json."""

    version: str
    commit: str
    dataset_version: str
    assigned: float
    committed: float
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class DatasetFacts:
    """A data set. of: "production" or "latest"; people: by split."""

    of: str
    version: str
    photos: int
    people: Mapping[str, int]
    unusable: int


@dataclass
class Durations:
    """A histogram of seconds: counts below each of BUCKETS (and above), and the sum."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    sum: float = 0.0

    def add(self, seconds: float) -> None:
        """Counts one duration."""
        self.counts[next((place for place, bound in enumerate(BUCKETS) if seconds <= bound), len(BUCKETS))] += 1
        self.sum = round(self.sum + seconds, 3)

    def cumulated(self) -> list[tuple[str, float]]:
        """Returns Prometheus' form: (bound, number up to the bound)."""
        bounds = [*(str(bound) for bound in BUCKETS), "+Inf"]
        return [(bound, float(sum(self.counts[: place + 1]))) for place, bound in enumerate(bounds)]


@dataclass
class LastCheck:
    """Last result of an asset check, and its time."""

    passed: bool
    time: float


@dataclass
class Totals:
    """Totals of all finished runs. Keys: job → outcome, asset → outcome, "asset:check" → result."""

    runs: dict[str, dict[str, int]] = field(default_factory=dict)
    run_seconds: dict[str, Durations] = field(default_factory=dict)
    steps: dict[str, dict[str, int]] = field(default_factory=dict)
    step_seconds: dict[str, Durations] = field(default_factory=dict)
    last_success: dict[str, float] = field(default_factory=dict)
    checks: dict[str, dict[str, int]] = field(default_factory=dict)
    last_check: dict[str, LastCheck] = field(default_factory=dict)


@dataclass(frozen=True)
class QueueFacts:
    """Open runs by state, the oldest queued one, and finished runs that are not counted yet."""

    states: Mapping[str, int]
    oldest_queued: float | None
    uncounted: int


@dataclass(frozen=True)
class SensorFacts:
    """Last tick of a sensor or schedule, and its failure."""

    name: str
    last_tick: float
    failed: bool


@dataclass(frozen=True)
class WaitingFacts:
    """Commits that the commit sensor cannot run yet: their number, and the begin of the oldest one's wait."""

    commits: int
    oldest: float | None


@dataclass(frozen=True)
class ServerFacts:
    """State of the server, its live release, and whether that is the release in production.

    since: begin of serving the release, seconds since the epoch; wanted, trouble: of a server with another release than production's.
    """

    running: bool
    ready: bool
    release: str | None
    is_production: bool | None
    since: float | None = None
    wanted: str | None = None
    trouble: str = ""


def flat_figures(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Returns nested figures under joined names: {"tar": {"0.001": 0.9}} becomes tar_0.001."""
    found: dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            found |= flat_figures(value, f"{prefix}{name}_")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            found[prefix + name] = float(value)
    return found


def release_metrics(facts: ReleaseFacts | None) -> Iterable[Metric]:
    """Returns metrics of the release in production; none without one."""
    if facts is None:
        return
    names = {"version": facts.version, "commit": facts.commit, "dataset_version": facts.dataset_version}
    info = _gauge("production_release_info", "The release in production; always 1.", list(names))
    info.add_metric(list(names.values()), 1.0)
    yield info
    yield _single("production_assigned_timestamp_seconds", "Time of the release's assignment to production.", facts.assigned)
    yield _single("production_data_timestamp_seconds", "Time of the commit that the release was trained from.", facts.committed)
    figures = _gauge("production_figure", "A figure of the release's evaluation, named as in its metrics.json.", ["figure"])
    for name, value in facts.figures.items():
        figures.add_metric([name], value)
    yield figures


def decision_metrics(held: bool, waiting: float | None, candidate: float | None = None) -> Iterable[Metric]:
    """Returns metrics of the last decision about production.

    waiting: begin of a release's wait for `resume`, seconds since the epoch; candidate: that of the wait for a second person's approval.
    """
    yield _single("production_held", "1 where a person's decision keeps commits out of production.", float(held))
    if waiting is not None:
        yield _single("release_waiting_timestamp_seconds", "Time at which the waiting release passed the gate.", waiting)
    if candidate is not None:
        yield _single("candidate_waiting_timestamp_seconds", "Time at which the release that needs approval passed the gate.", candidate)


def dataset_metrics(found: Iterable[DatasetFacts]) -> Iterable[Metric]:
    """Returns metrics of the data sets of production and of the last run."""
    info = _gauge("dataset_info", "The DVC version of a data set; always 1.", ["of", "version"])
    photos = _gauge("dataset_photos", "Photos of a data set.", ["of"])
    unusable = _gauge("dataset_unusable_photos", "Photos of a data set that cannot be used.", ["of"])
    people = _gauge("dataset_people", "People of a data set.", ["of", "split"])
    for facts in found:
        info.add_metric([facts.of, facts.version], 1.0)
        photos.add_metric([facts.of], facts.photos)
        unusable.add_metric([facts.of], facts.unusable)
        for split, count in facts.people.items():
            people.add_metric([facts.of, split], count)
    yield from (info, photos, unusable, people)


def totals_metrics(totals: Totals, jobs: Iterable[str] = ()) -> Iterable[Metric]:
    """Returns metrics of all finished runs, with zeros for `jobs`: for Prometheus a counter that begins at 1 has not risen."""
    runs = {job: dict.fromkeys(OUTCOMES, 0) | totals.runs.get(job, {}) for job in dict.fromkeys((*jobs, *totals.runs))}
    yield _counts("runs", "Runs that ended.", ("job", "outcome"), runs)
    yield _counts("asset_runs", "Attempts to make an asset.", ("asset", "outcome"), totals.steps)
    for name, help_text, label, durations in (
        ("run_seconds", "Duration of runs.", "job", totals.run_seconds),
        ("asset_seconds", "Duration of making an asset.", "asset", totals.step_seconds),
    ):
        histogram = HistogramMetricFamily(f"face_assets_{name}", help_text, labels=[label])
        for key, one in durations.items():
            histogram.add_metric([key], buckets=one.cumulated(), sum_value=one.sum)
        yield histogram
    success = _gauge("asset_last_success_timestamp_seconds", "Time of the asset's last success.", ["asset"])
    for asset, when in totals.last_success.items():
        success.add_metric([asset], when)
    yield success
    results = CounterMetricFamily("face_assets_check_results", "Results of asset checks.", labels=["asset", "check", "result"])
    passed = _gauge("check_passed", "1 where the last result of an asset check was good.", ["asset", "check"])
    for name, counted in totals.checks.items():
        for result, count in counted.items():
            results.add_metric([*name.split(":", 1), result], count)
    for name, last in totals.last_check.items():
        passed.add_metric(name.split(":", 1), float(last.passed))
    yield from (results, passed)


def queue_metrics(facts: QueueFacts) -> Iterable[Metric]:
    """Returns metrics of open runs."""
    states = _gauge("runs_open", "Runs that have not ended.", ["state"])
    for state, count in facts.states.items():
        states.add_metric([state], count)
    yield states
    if facts.oldest_queued is not None:
        yield _single("queue_oldest_timestamp_seconds", "Time at which the oldest queued run was queued.", facts.oldest_queued)
    yield _single("runs_uncounted", "Finished runs that the exporter has not counted yet.", facts.uncounted)


def sensor_metrics(found: Iterable[SensorFacts]) -> Iterable[Metric]:
    """Returns metrics of sensors and schedules."""
    ticked = _gauge("sensor_last_tick_timestamp_seconds", "Time of the last tick of the sensor or schedule.", ["sensor"])
    failed = _gauge("sensor_tick_failed", "1 where that tick failed.", ["sensor"])
    for facts in found:
        ticked.add_metric([facts.name], facts.last_tick)
        failed.add_metric([facts.name], float(facts.failed))
    yield from (ticked, failed)


def daemon_metrics(heartbeats: Mapping[str, float]) -> Iterable[Metric]:
    """Returns metrics of Dagster's daemons. heartbeats: the last of each, seconds since the epoch."""
    beats = _gauge("daemon_heartbeat_timestamp_seconds", "The daemon's last heartbeat.", ["daemon"])
    for name, when in heartbeats.items():
        beats.add_metric([name], when)
    yield beats


def waiting_metrics(facts: WaitingFacts) -> Iterable[Metric]:
    """Returns metrics of waiting commits."""
    yield _single("commits_waiting", "Commits that the commit sensor cannot run yet, for example without pushed photos.", facts.commits)
    if facts.oldest is not None:
        yield _single("commits_waiting_oldest_timestamp_seconds", "Time at which the oldest waiting commit was seen.", facts.oldest)


def server_metrics(facts: ServerFacts) -> Iterable[Metric]:
    """Returns metrics of the server."""
    yield _single("server_running", "1 where the Triton server runs.", float(facts.running))
    yield _single("server_ready", "1 where it serves a release.", float(facts.ready))
    info = _gauge("server_release_info", "The release that is live; always 1.", ["release"])
    if facts.release:
        info.add_metric([facts.release], 1.0)
    yield info
    if facts.is_production is not None:
        yield _single("server_is_production", "1 where the live release is the one in production.", float(facts.is_production))
    if facts.since is not None:
        yield _single("server_live_since_timestamp_seconds", "Time at which the live release began to serve.", facts.since)
    behind = _gauge(
        "server_behind_production_info", "Why this machine does not serve what is in production; 1.", ["wanted", "live", "trouble"]
    )
    if facts.trouble:
        behind.add_metric([facts.wanted or "", facts.release or "nothing", facts.trouble], 1.0)
    yield behind


def drift_metrics(time: float, figures: Mapping[str, float]) -> Iterable[Metric]:
    """Returns metrics of the last drift report: its time and its figures by name."""
    yield _single("drift_report_timestamp_seconds", "Time of the last drift report.", time)
    found = _gauge("drift_figure", "A figure of the last drift report.", ["figure"])
    for name, value in figures.items():
        found.add_metric([name], value)
    yield found


def feedback_metrics(found: Iterable[Estimate], problems: int) -> Iterable[Metric]:
    """Returns metrics of committed feedback: errors by release, as rates for sampled results."""
    judged = _gauge("feedback_judged_answers", "Sampled results that can have the error.", ["release", "error"])
    rates = _gauge("feedback_error_rate", "Share of them with the error; low and high bound 95 %.", ["release", "error", "bound"])
    reported = _gauge("feedback_reported_errors", "Errors that people reported otherwise, which are no rate.", ["release", "error"])
    for one in found:
        for error, rate, others in (
            ("false_accept", one.false_accepts, one.reported_false_accepts),
            ("false_reject", one.false_rejects, one.reported_false_rejects),
        ):
            judged.add_metric([one.release, error], rate.of)
            reported.add_metric([one.release, error], others)
            if rate.rate is not None:
                for bound, value in (("estimate", rate.rate), ("low", rate.low), ("high", rate.high)):
                    rates.add_metric([one.release, error, bound], value)
    yield from (judged, rates, reported)
    yield _single("feedback_unreadable_files", "Invalid files in the inbox.", problems)


def disk_metrics(free: int, size: int) -> Iterable[Metric]:
    """Returns metrics of the disk of the state directory, in bytes."""
    yield _single("home_disk_free_bytes", "Free space on the disk of the state directory.", free)
    yield _single("home_disk_size_bytes", "Size of that disk.", size)


def _gauge(name: str, text: str, labels: list[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"face_assets_{name}", text, labels=labels)


def _single(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"face_assets_{name}", text, value=value)


def _counts(name: str, text: str, labels: tuple[str, str], counted: Mapping[str, Mapping[str, int]]) -> CounterMetricFamily:
    family = CounterMetricFamily(f"face_assets_{name}", text, labels=labels)
    for first, rest in counted.items():
        for second, count in rest.items():
            family.add_metric([first, second], count)
    return family
