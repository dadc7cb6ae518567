"""Run containers that have ended, which Docker's run launcher and executor leave, and those whose run somebody cancels in the UI."""

import os
import time
from datetime import datetime
from typing import Any

import dagster as dg

STACK = "FACE_ASSETS_STACK"
"""Set in containers alone, by deploy/compose.yaml: the label of what this platform launched."""
SECONDS_BETWEEN_TICKS = 10
SECONDS_TO_ANSWER = 30
SECONDS_TO_BE_SEEN = 20.0  # by run monitoring and by executors, to whom a container that is gone has failed
ENDED = ("exited", "dead")


@dg.sensor(
    minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Removes the containers of runs and steps that have ended, and ends those of runs that are being canceled.",
)
def container_sweep(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Says what it removed; asks for no run."""
    import docker

    stack = os.environ.get(STACK)
    if not stack:
        return dg.SkipReason(f"{STACK} is not set: nothing runs in containers.")
    canceling = dg.RunsFilter(statuses=[dg.DagsterRunStatus.CANCELING])
    for run in context.instance.get_runs(filters=canceling):  # the webserver has no engine: remote_launcher.py
        context.instance.run_launcher.terminate(run.run_id)
    try:
        removed = sweep(docker.from_env(timeout=SECONDS_TO_ANSWER), stack, time.time())
    except (docker.errors.DockerException, OSError) as error:
        return dg.SkipReason(f"The Docker engine does not answer ({error}): ended containers wait.")
    return dg.SkipReason(f"Removed {', '.join(removed)}." if removed else "Nothing has ended.")


def sweep(client: Any, stack: str, now: float) -> list[str]:
    """Removes run containers of `stack` that ended a moment before `now` (seconds since the epoch); returns their names."""
    import docker

    removed = []
    labels = [f"face-assets.stack={stack}", "face-assets.role=run"]
    for container in client.containers.list(all=True, filters={"label": labels}, ignore_removed=True):
        if container.status not in ENDED or now - _ended(container) < SECONDS_TO_BE_SEEN:
            continue
        try:
            container.remove()
        except docker.errors.NotFound:
            continue
        removed.append(str(container.name))
    return removed


def _ended(container: Any) -> float:
    """When it ended, in seconds since the epoch; Docker says nanoseconds, of which Python reads six digits."""
    text = str(container.attrs["State"]["FinishedAt"]).rstrip("Z")
    return datetime.fromisoformat(f"{text[:26]}+00:00").timestamp()
