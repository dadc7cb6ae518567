"""The machine sensor: publishes the release that this machine serves, in the event log and in the data repository."""

import json
import time
from dataclasses import asdict, dataclass
from typing import Any

import dagster as dg

from face_assets.automation.change_watch import ChangeWatch
from face_assets.core.errors import UserError
from face_assets.orchestration.workspace_resource import WorkspaceResource
from face_assets.registry.workspace import Workspace
from face_assets.serving.machine_state import Observed, machine_name, observe, publish_state
from face_assets.serving.steps import target

SECONDS_BETWEEN_TICKS = 5
SECONDS_BETWEEN_SIGNS = 3600.0  # heartbeat while nothing changes
SECONDS_BETWEEN_TRIES = 60.0
DEPLOYMENT = dg.AssetKey("triton_deployment")


@dataclass(frozen=True)
class Seen:
    """The sensor's state: the last observation as text, the time of the next heartbeat, and that of the next try to publish."""

    observed: str = ""
    next_sign: float = 0.0
    next_try: float = 0.0


@dg.sensor(
    minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Records which release this machine serves, and why not that in production; publishes it in the data repository.",
)
def machine_sensor(context: dg.SensorEvaluationContext, platform: WorkspaceResource) -> dg.SensorResult | dg.SkipReason:
    """Observes the deployment, with one observation for each change."""
    workspace = platform.workspace()
    if not workspace.settings.repo:
        return dg.SkipReason("No data repository is named yet.")
    seen = Seen(**json.loads(context.cursor)) if context.cursor else Seen()
    watch = ChangeWatch(workspace, [workspace.home.serving, *workspace.repository.mirrored_ref_folders()])
    try:
        if target(workspace).is_deploying():
            return dg.SkipReason("A deployment is under way.")
        observed, facts = _observe(workspace)
        text, now = json.dumps(facts, sort_keys=True), time.time()
        if text == seen.observed and now < max(seen.next_sign, seen.next_try) and watch.wait():
            observed, facts = _observe(workspace)
            text, now = json.dumps(facts, sort_keys=True), time.time()
    except UserError as error:
        return dg.SkipReason(str(error))
    events = [dg.AssetObservation(DEPLOYMENT, metadata=facts)] if text != seen.observed else []
    said = observed.trouble or "This machine serves the desired release."
    next_sign = 0.0 if events else seen.next_sign
    next_try = seen.next_try
    if not events and now >= max(next_sign, next_try):  # a state seen only once is not pushed
        try:
            publish_state(workspace, observed)
            next_sign, next_try = now + SECONDS_BETWEEN_SIGNS, 0.0
        except UserError as error:
            said, next_try = f"{said} {error}", now + SECONDS_BETWEEN_TRIES
    return dg.SensorResult(skip_reason=said, cursor=json.dumps(asdict(Seen(text, next_sign, next_try))), asset_events=events)


def _observe(workspace: Workspace) -> tuple[Observed, dict[str, Any]]:
    """This machine's state, and the same as metadata. Raises UserError."""
    observed = observe(workspace, workspace.stages.production(), target(workspace).status())
    return observed, {"machine": machine_name(workspace)} | {name: value or "none" for name, value in asdict(observed).items()}
