"""Removal of ended run containers, which Docker's run launcher and executor leave, and of containers of canceled runs."""

import os
import time
from datetime import datetime
from typing import Any

import dagster as dg

STACK = "FACE_ASSETS_STACK"
"""Label of the containers that this platform launched; set by deploy/compose.yaml, in containers only."""
SECONDS_BETWEEN_TICKS = 10
SECONDS_TO_ANSWER = 30
SECONDS_TO_BE_SEEN = 20.0  # by run monitoring and executors, which treat a missing container as failed
ENDED = ("exited", "dead")


@dg.sensor(
    minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Removes the containers of runs and steps that have ended, and ends those of runs that are being canceled.",
)
def container_sweep(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Removes ended containers; requests no run."""
    import docker

    stack = os.environ.get(STACK)
    if not stack:
        return dg.SkipReason(f"{STACK} is not set: nothing runs in containers.")
    canceling = dg.RunsFilter(statuses=[dg.DagsterRunStatus.CANCELING])
    for run in context.instance.get_runs(filters=canceling):  # the webserver has no access to the engine: remote_launcher.py
        context.instance.run_launcher.terminate(run.run_id)
    try:
        removed = sweep(docker.from_env(timeout=SECONDS_TO_ANSWER), stack, time.time())
    except (docker.errors.DockerException, OSError) as error:
        return dg.SkipReason(f"The Docker engine does not answer ({error}): ended containers wait.")
    return dg.SkipReason(f"Removed {', '.join(removed)}." if removed else "Nothing has ended.")


def sweep(client: Any, stack: str, now: float) -> list[str]:
    """Removes run containers of `stack` that ended SECONDS_TO_BE_SEEN before `now` (since the epoch). Returns their names."""
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
    """End time in seconds since the epoch. Docker gives nanoseconds, of which Python reads six digits."""
    text = str(container.attrs["State"]["FinishedAt"]).rstrip("Z")
    return datetime.fromisoformat(f"{text[:26]}+00:00").timestamp()
