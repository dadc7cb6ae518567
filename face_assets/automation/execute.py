"""Executes one run in this process: `python -m face_assets.automation.execute JOB RUN_ID COMMIT TAGS CONFIG`."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from face_assets.core.project_files import ROOT
from face_assets.core.settings import default_home
from face_assets.event_log.instance import open_instance
from face_assets.storage.home import Home


def execute(job_name: str, run_id: str, commit: str | None, tags: Mapping[str, str], config: Mapping[str, Any]) -> bool:
    """Runs the job, for a commit if one is given, with all events in the event log. Returns True on success."""
    with open_instance(Home(default_home())) as instance:
        job = _job(job_name)
        result = job.execute_in_process(
            instance=instance, run_id=run_id, partition_key=commit, tags=tags, run_config=config or None, raise_on_error=False
        )
    return result.success


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
