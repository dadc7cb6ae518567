"""The commit sensor: one run for each commit that changes photos, gallery or parameters."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import dagster as dg

from face_assets.automation.change_watch import ChangeWatch
from face_assets.core.errors import UserError
from face_assets.core.fingerprint import fingerprint
from face_assets.event_log.runs import UNDER_WAY
from face_assets.notification.message import Message
from face_assets.notification.notifier import queue_firing, queue_resolved
from face_assets.orchestration import jobs
from face_assets.orchestration.partitions import commits
from face_assets.orchestration.tags import PARTITION, commit_tags
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.registry.availability import missing_bytes
from face_assets.registry.versions import parameters_version, photos_version
from face_assets.registry.watch import Branches, NewCommit, inputs_of, new_commits, tracked_by
from face_assets.registry.workspace import Workspace

SECONDS_BETWEEN_TICKS = 2
SECONDS_A_TICK = 20.0  # for checks of commits; Dagster limits a tick to 60
MOST_SECONDS_TO_WAIT = 10.0
SECONDS_UNTIL_NOTIFIED = 60.0
UNREACHABLE = "repository: unreachable"
EarlierRun = Callable[[str, str], str | None]


@dataclass(frozen=True)
class Waiting:
    """A commit whose run is not requested yet.

    since: when it was seen; tries: checks so far; next_try: time of the next check; moved_here: a production branch moved to it.
    """

    commit: str
    branch: str
    job: str
    moved_here: bool
    since: float
    tries: int = 0
    next_try: float = 0.0


@dataclass(frozen=True)
class Cursor:
    """The sensor's state: heads of the watched branches, and waiting commits. source: fingerprint of the data repository."""

    source: str
    heads: dict[str, str] = field(default_factory=dict)
    waiting: list[Waiting] = field(default_factory=list)

    @staticmethod
    def read(text: str | None, source: str) -> "Cursor":
        """The state after the last tick; an empty one for another data repository."""
        stored: dict[str, Any] = json.loads(text) if text else {}
        if stored.get("source") != source:
            return Cursor(source)
        return Cursor(source, stored["heads"], [Waiting(**one) for one in stored["waiting"]])

    def write(self) -> str:
        """The cursor as JSON."""
        return json.dumps(asdict(self), sort_keys=True)


@dataclass
class Tick:
    """Results of one poll of the branches."""

    requests: list[dg.RunRequest] = field(default_factory=list)
    observations: list[dg.AssetObservation] = field(default_factory=list)
    log_lines: list[str] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    cursor: Cursor | None = None


@dg.sensor(
    jobs=[jobs.commit_to_live, jobs.commit_to_evaluation],
    minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Watches the branches of the data repository; requests one run for each commit that changes inputs of the pipeline.",
)
def commit_sensor(context: dg.SensorEvaluationContext, platform: WorkspaceResource) -> dg.SensorResult:
    """Polls the branches, again after a change in the tick's time. The tick records what was found and why no run is requested."""
    workspace = platform.workspace()
    if not workspace.settings.repo:
        return dg.SensorResult(skip_reason="No data repository is named yet: `face-assets use PATH_OR_URL` names one.")
    cursor = Cursor.read(context.cursor, fingerprint(workspace.settings.repo))

    def poll_now() -> Tick:
        return poll(workspace, cursor, time.time(), lambda job, commit: _earlier_run(context.instance, job, commit))

    try:
        watch = ChangeWatch(workspace, refs=True)
        tick = poll_now()
        if tick.cursor == cursor and not cursor.waiting and watch.wait():
            tick = poll_now()
    except UserError as error:
        message = Message("firing", UNREACHABLE, "The data repository cannot be watched", str(error))
        queue_firing(workspace.settings, message, context.log.warning)
        return dg.SensorResult(skip_reason=str(error), cursor=context.cursor)
    queue_resolved(workspace.settings, Message("resolved", UNREACHABLE, "The data repository is watched again"), context.log.warning)
    for sentence in tick.log_lines:
        context.log.info(sentence)
    for message in tick.messages:
        (queue_firing if message.kind == "firing" else queue_resolved)(workspace.settings, message, context.log.warning)
    assert tick.cursor is not None
    return dg.SensorResult(
        run_requests=tick.requests,
        skip_reason=None if tick.requests else "; ".join(tick.log_lines) or "Nothing new.",
        cursor=tick.cursor.write(),
        dynamic_partitions_requests=[commits.build_add_request([str(request.partition_key) for request in tick.requests])],
        asset_events=tick.observations,
    )


def _earlier_run(instance: dg.DagsterInstance, job: str, commit: str) -> str | None:
    """Status of the job's runs for a commit, whoever launched them: "under way", "well" or "badly"; None if there is none."""
    for statuses, word in ((list(UNDER_WAY), "under way"), ([dg.DagsterRunStatus.SUCCESS], "well"), (None, "badly")):
        if instance.get_runs(dg.RunsFilter(job_name=job, tags={PARTITION: commit}, statuses=statuses), limit=1):
            return word
    return None


def poll(workspace: Workspace, cursor: Cursor, now: float, earlier_run: EarlierRun) -> Tick:
    """Polls the branches once. `earlier_run`: status of a job's runs for a commit.

    Raises UserError if the repository cannot be read; the state is then unchanged.
    """
    repository = workspace.repository
    branches = Branches(workspace.settings.production_branches, workspace.settings.experiment_branches)
    heads, _ = repository.heads()
    tick = Tick()
    waiting = cursor.waiting
    if branches.watched(heads) != cursor.heads:
        repository.refresh()
        heads = repository.mirrored_heads()
        gone = sorted(set(cursor.heads) - set(heads))
        tick.log_lines += [f"branch {branch} is gone" for branch in gone]
        for new in new_commits(repository, branches, cursor.heads, heads):
            if new.reason:
                tick.log_lines.append(f"commit {new.commit[:12]} on {new.branch} {new.reason}: no run")
            else:
                waiting = [*waiting, _waiting(new, now)]
    left = list(_request_runs(workspace, waiting, now, earlier_run, tick))
    tick.cursor = Cursor(cursor.source, branches.watched(heads), left)
    return tick


def _waiting(new: NewCommit, now: float) -> Waiting:
    job = jobs.COMMIT_TO_LIVE if new.production else jobs.COMMIT_TO_EVALUATION
    return Waiting(new.commit, new.branch, job, new.production and new.moved_here, now)


def _request_runs(workspace: Workspace, waiting: list[Waiting], now: float, earlier_run: EarlierRun, tick: Tick) -> Iterator[Waiting]:
    """Requests runs of commits whose photos are available, and yields the others: new ones first, then those due longest."""
    known: dict[str, str | None] = {}
    ends = time.monotonic() + SECONDS_A_TICK
    for one in sorted(waiting, key=lambda waits: waits.next_try):
        if one.next_try > now or time.monotonic() > ends:
            tick.log_lines.append(f"commit {one.commit[:12]} on {one.branch} waits")
            yield one
            continue
        try:
            lacking = _try_commit(workspace, one, now, earlier_run, known, tick)
        except Exception as error:  # an error of one commit must not block the others
            lacking = f"commit {one.commit[:12]} cannot be looked at ({type(error).__name__}: {error})"
        if lacking:
            tick.log_lines.append(f"{lacking}; it waits since {time.strftime('%H:%M:%S', time.localtime(one.since))}")
            if now - one.since > SECONDS_UNTIL_NOTIFIED:
                tick.messages.append(_message("firing", one, f"Commit {one.commit[:12]} waits", lacking))
            pause = min(MOST_SECONDS_TO_WAIT, 2.0 ** min(one.tries, 10))
            yield replace(one, tries=one.tries + 1, next_try=now + pause)


def _try_commit(
    workspace: Workspace, one: Waiting, now: float, earlier_run: EarlierRun, known: dict[str, str | None], tick: Tick
) -> str | None:
    """Requests the run of a commit unless it ran or its data is missing. Returns what is missing.

    known: results of earlier checks in this tick, by fingerprint of pointers and remote.
    """
    if not workspace.repository.is_on_a_branch(one.commit):
        tick.log_lines.append(f"commit {one.commit[:12]} is on no branch any more: no run")
        return None
    before = earlier_run(one.job, one.commit)
    if before == "under way" or (before == "well" and not (one.moved_here and _is_superseded(workspace, one.commit))):
        tick.log_lines.append(f"commit {one.commit[:12]} on {one.branch} has run already")
        return None
    pointers = {name: blob for name, blob in inputs_of(workspace.repository, one.commit).items() if name.endswith(".dvc")}
    where = fingerprint(pointers, str(workspace.repository.read(one.commit, ".dvc/config")))
    if where not in known:
        known[where] = _lacking(workspace, one.commit, tracked_by(pointers))
    if known[where]:
        return known[where]
    # Dagster runs a key only once, and a branch may return to a commit that ran before
    key = f"{one.job}:{one.commit}" + (f":again:{one.since:.3f}" if before else "")
    _request_run(workspace, one, key, tick)
    return None


def _is_superseded(workspace: Workspace, commit: str) -> bool:
    """True if another commit than this one, which ran before, is in production."""
    production = workspace.stages.production()
    return production is not None and production.commit != commit


def _lacking(workspace: Workspace, commit: str, tracked: tuple[str, ...]) -> str | None:
    try:
        return missing_bytes(workspace.repository, commit, tracked)
    except UserError:
        return None  # an unreadable pointer: the run fails and records the reason


def _request_run(workspace: Workspace, one: Waiting, key: str, tick: Tick) -> None:
    tags = commit_tags(workspace, one.commit, "commit", one.branch)
    tick.requests.append(dg.RunRequest(run_key=key, job_name=one.job, partition_key=one.commit, tags=tags))
    tick.observations += observations(workspace, one.commit, tags)
    tick.log_lines.append(f"commit {one.commit[:12]} on {one.branch} requests {one.job}")
    if one.tries:
        tick.messages.append(_message("resolved", one, f"The photos of commit {one.commit[:12]} are there"))


def _message(kind: Literal["firing", "resolved"], one: Waiting, title: str, reason: str = "") -> Message:
    return Message(kind, f"{one.branch}: waiting: {one.commit}", title, reason, commit=one.commit, branch=one.branch)


def observations(workspace: Workspace, commit: str, tags: Mapping[str, str]) -> list[dg.AssetObservation]:
    """Observations of photos and parameters at the commit, with the versions by which the UI recognizes stale assets."""
    observed = []
    for asset, version_of in (("photos", photos_version), ("parameters", parameters_version)):
        try:
            version = version_of(workspace, commit)
        except UserError:
            continue
        observed.append(dg.AssetObservation(asset, partition=commit, metadata=dict(tags), tags={"dagster/data_version": version}))
    return observed
