"""The health sensor: a server that is gone, or answers wrongly, is brought back with what production says."""

import json
import time
from dataclasses import asdict, dataclass

import dagster as dg

from face_assets.automation import jobs
from face_assets.automation.reaping import close_dead_runs
from face_assets.automation.stage_sensor import deployment_under_way
from face_assets.automation.tags import CAUSE
from face_assets.errors import UserError
from face_assets.notification.message import Message
from face_assets.notification.notifier import queue_problem, queue_well
from face_assets.pipeline.serving import target, trouble_of_live, was_refused
from face_assets.pipeline.workspace import Workspace
from face_assets.registry.stage import Assignment
from face_assets.resources.workspace import WorkspaceResource

SECONDS_BETWEEN_TICKS = 5
LOST = "server: lost"
SECONDS_BETWEEN_QUESTIONS = 20.0
LOOKS = 2  # in a row, before a server is taken for lost: one that is busy may be late once
FIRST_PAUSE, LONGEST_PAUSE = 15.0, 300.0  # seconds between attempts to mend, doubled each time


@dataclass(frozen=True)
class Health:
    """What the looks so far showed: how many in a row saw trouble, how often a mending was asked for, and when it may be next."""

    troubled: int = 0
    asked: int = 0
    next_try: float = 0.0
    next_question: float = 0.0


@dataclass(frozen=True)
class Trouble:
    """What is wrong, in a sentence; `waits_for`: what a run for its commit may be about to deploy, which would mend it."""

    sentence: str
    waits_for: Assignment | None = None


@dg.sensor(
    job=jobs.deploy_production,
    minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Looks whether the server is there and answers as its release must; brings back what production says.",
)
def health_sensor(context: dg.SensorEvaluationContext, platform: WorkspaceResource) -> dg.SensorResult:
    """Looks, and closes runs whose process died."""
    for run in close_dead_runs(context.instance):
        context.log.warning(f"run {run[:8]} had lost its process: closed as failed")
    workspace = platform.workspace()
    health = Health(**json.loads(context.cursor)) if context.cursor else Health()
    now = time.time()
    asks = now >= health.next_question
    try:
        trouble = find_trouble(workspace, asks)
    except UserError as error:
        return _result(health, f"It cannot be told whether the server is well: {error}")
    next_question = now + SECONDS_BETWEEN_QUESTIONS if asks else health.next_question
    if trouble is None:
        if health.troubled:
            queue_well(workspace.settings, Message("well", LOST, "The server answers as it must again"), context.log.warning)
        return _result(Health(next_question=next_question), "Nothing is wrong.")
    health = Health(health.troubled + 1, health.asked, health.next_try, 0.0)
    if health.troubled < LOOKS or now < health.next_try:
        return _result(health, trouble.sentence)
    if deploying := deployment_under_way(context.instance, workspace, trouble.waits_for):
        return _result(health, f"{trouble.sentence}; {deploying} deals with it")
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(health.asked, 10))
    health = Health(health.troubled, health.asked + 1, now + pause, 0.0)
    queue_problem(workspace.settings, Message("problem", LOST, "The server is brought back", trouble.sentence), context.log.warning)
    tags = {CAUSE: "health", "face_assets/trouble": trouble.sentence[:200], "dagster/priority": jobs.DEPLOY_PRIORITY}
    return dg.SensorResult(run_requests=[dg.RunRequest(tags=tags)], cursor=json.dumps(asdict(health)))


def find_trouble(workspace: Workspace, ask: bool) -> Trouble | None:
    """What is wrong with the server; None where all is well, a deployment is under way, or the server was stopped on purpose.

    `ask`: puts a question to it, too. Raises UserError where that cannot be known.
    """
    if not workspace.settings.repo:
        return None
    server = target(workspace)
    if not server.was_started():
        return None
    production = workspace.stages.production()
    if production is None or server.is_deploying():
        return None
    try:
        status = server.status()
    except UserError as error:
        return Trouble(str(error))
    if not status.running:
        return Trouble("The server is gone.")
    if status.live is None or not status.ready:
        return Trouble(f"The server is not ready to answer with {status.live.release if status.live else 'anything'}.")
    if status.live.release_commit != production.release.commit and not was_refused(workspace, production):
        sentence = f"The server answers with {status.live.release}, and {production.release.version} is in production."
        return Trouble(sentence, waits_for=production)
    wrong = trouble_of_live(workspace, status.live) if ask else None
    return Trouble(wrong) if wrong else None


def _result(health: Health, reason: str) -> dg.SensorResult:
    return dg.SensorResult(skip_reason=reason, cursor=json.dumps(asdict(health)))
