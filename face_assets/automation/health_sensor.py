"""The health sensor: restores a server that is gone, responds wrongly, or serves another release than production."""

import json
import time
from dataclasses import asdict, dataclass, replace

import dagster as dg

from face_assets.automation.change_watch import ChangeWatch
from face_assets.automation.stage_sensor import deployment_under_way
from face_assets.core.errors import UserError
from face_assets.event_log.dead_runs import close_dead_runs
from face_assets.event_log.missed_retries import report_missed_retries
from face_assets.notification.message import Message
from face_assets.notification.notifier import queue_firing, queue_resolved
from face_assets.orchestration import jobs
from face_assets.orchestration.tags import LONGEST, NAME, TRIGGER
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.registry.stages import Assignment
from face_assets.registry.workspace import Workspace
from face_assets.serving.machine_state import STOPPED, asked_to_retry, last_attempt, observe
from face_assets.serving.steps import target, trouble_of_live

SECONDS_BETWEEN_TICKS = 5
SECONDS_BETWEEN_LOOKS = 10.0
LOST, BEHIND = "server: lost", "server: behind production"
SECONDS_BETWEEN_QUESTIONS = 20.0
LOOKS = 2  # failed checks in a row before a server counts as lost: a busy one may be late once
FIRST_PAUSE, LONGEST_PAUSE = 15.0, 4 * 3600.0  # seconds between attempts to mend, doubled each time


@dataclass(frozen=True)
class Health:
    """Results of the checks so far: failed ones in a row, number of repairs that were requested, and times of the last and the next.

    about: the stage tag that is wanted; another one is tried at once.
    """

    troubled: int = 0
    asked: int = 0
    last_try: float = 0.0
    next_try: float = 0.0
    next_question: float = 0.0
    about: str = ""


@dataclass(frozen=True)
class Trouble:
    """Trouble of the server, in a sentence; desired: the assignment to production; behind: True where another release is served."""

    sentence: str
    desired: Assignment
    behind: bool = False

    @property
    def problem(self) -> Message:
        """The message to people."""
        if self.behind:
            return Message("firing", BEHIND, f"This machine does not serve {self.desired.release.version}", self.sentence)
        return Message("firing", LOST, "The server is brought back", self.sentence)


@dg.sensor(
    job=jobs.deploy_production,
    minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Checks that the server runs and responds as its release must; restores the release in production.",
)
def health_sensor(context: dg.SensorEvaluationContext, platform: WorkspaceResource) -> dg.SensorResult:
    """Checks the server, closes runs whose process died, and has runs retried whose retry was missed.

    While all is well, a tick has several looks.
    """
    workspace = platform.workspace()
    health = Health(**json.loads(context.cursor)) if context.cursor else Health()
    watch = ChangeWatch(workspace, [workspace.home.serving])
    while True:
        now = time.time()
        for run in close_dead_runs(context.instance):
            context.log.warning(f"run {run[:8]} had lost its process: closed as failed")
        for run in report_missed_retries(context.instance, now):
            context.log.warning(f"run {run[:8]} failed and was not retried: its failure is reported again")
        asks = now >= health.next_question
        try:
            trouble = find_trouble(workspace, asks)
        except UserError as error:
            return _result(health, f"It cannot be told whether the server is well: {error}")
        next_question = now + SECONDS_BETWEEN_QUESTIONS if asks else health.next_question
        if trouble or health.troubled or watch.seconds_left < SECONDS_BETWEEN_LOOKS or watch.wait(SECONDS_BETWEEN_LOOKS):
            break
        health = replace(health, next_question=next_question)
    if trouble is None:
        if health.troubled:
            for cause in (LOST, BEHIND):
                queue_resolved(workspace.settings, Message("resolved", cause, "The server answers as it must again"), context.log.warning)
        return _result(Health(next_question=next_question), "Nothing is wrong.")
    if trouble.desired.tag != health.about or asked_to_retry(workspace) > health.last_try > 0.0:
        health = Health(about=trouble.desired.tag)
    health = replace(health, troubled=health.troubled + 1, next_question=0.0)
    if health.troubled < LOOKS or now < health.next_try:
        return _result(health, trouble.sentence)
    if deploying := deployment_under_way(context.instance, workspace, trouble.desired if trouble.behind else None):
        return _result(health, f"{trouble.sentence}; {deploying} deals with it")
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(health.asked, 10))
    health = replace(health, asked=health.asked + 1, last_try=now, next_try=now + pause)
    queue_firing(workspace.settings, trouble.problem, context.log.warning)
    tags = {TRIGGER: "health", NAME: trouble.sentence[:LONGEST], "dagster/priority": jobs.DEPLOY_PRIORITY}
    return dg.SensorResult(run_requests=[dg.RunRequest(tags=tags)], cursor=json.dumps(asdict(health)))


def find_trouble(workspace: Workspace, ask: bool) -> Trouble | None:
    """The trouble of the server; None if there is none, a deployment is under way, or the server was stopped on purpose.

    `ask`: also sends a golden request. Raises UserError if the state cannot be determined.
    """
    if not workspace.settings.repo:
        return None
    server = target(workspace)
    attempt = last_attempt(workspace)
    was_started = server.was_started()
    if not was_started and (attempt is None or attempt.trouble in ("", STOPPED)):
        return None
    production = workspace.stages.production()
    if production is None or server.is_deploying():
        return None
    try:
        status = server.status()
    except UserError as error:
        return Trouble(str(error), production)
    if was_started and not status.running:
        return Trouble("The server is gone.", production)
    if was_started and (status.live is None or not status.ready):
        return Trouble(f"The server is not ready to answer with {status.live.release if status.live else 'anything'}.", production)
    if status.live is None or status.live.release_commit != production.release.commit:
        why = observe(workspace, production, status).why
        live = status.live.release if status.live else "nothing"
        return Trouble(f"{production.release.version} is in production, and this machine serves {live}: {why}", production, behind=True)
    wrong = trouble_of_live(workspace, status.live) if ask else None
    return Trouble(wrong, production) if wrong else None


def _result(health: Health, reason: str) -> dg.SensorResult:
    return dg.SensorResult(skip_reason=reason, cursor=json.dumps(asdict(health)))
