"""Executes one run in this process: `python -m face_assets.automation.execute JOB RUN_ID COMMIT TAGS CONFIG`."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
from dagster._core.execution.api import execute_run  # dg.execute_job takes no run id, by which the caller follows the run

from face_assets.core.project_files import ROOT
from face_assets.core.settings import default_home
from face_assets.event_log.instance import open_instance
from face_assets.orchestration.jobs import ALIGN_IN_PROCESSES
from face_assets.orchestration.tags import PARTITION
from face_assets.storage.home import Home


def execute(job_name: str, run_id: str, commit: str | None, tags: Mapping[str, str], config: Mapping[str, Any]) -> bool:
    """Runs the job, for a commit if one is given, with all events in the event log. Returns True on success."""
    with open_instance(Home(default_home())) as instance:
        if job_name == ALIGN_IN_PROCESSES:
            recipe = dg.reconstructable(align_in_processes)  # from which the step's own process loads the job
            job, words = recipe.get_definition(), {**tags, PARTITION: commit or ""}
            run = instance.create_run_for_job(job, run_id=run_id, run_config=config, tags={**job.tags, **words})
            return bool(execute_run(recipe, run, instance).success)
        job = _job(job_name)
        result = job.execute_in_process(
            instance=instance, run_id=run_id, partition_key=commit, tags=tags, run_config=config or None, raise_on_error=False
        )
    return result.success


def align_in_processes() -> dg.JobDefinition:
    """The job whose steps run in processes of their own."""
    return _job(ALIGN_IN_PROCESSES)


def _job(name: str) -> dg.JobDefinition:
    sys.path.insert(0, str(ROOT))
    from definitions import defs

    return defs.resolve_job_def(name)


def main(arguments: Sequence[str]) -> None:
    """Executes the run that the arguments name; exits with 0 on success, else with 1."""
    job, run_id, commit, tags, config = arguments
    sys.exit(0 if execute(job, run_id, commit or None, json.loads(tags), json.loads(config)) else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
