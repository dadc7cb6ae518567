"""Executes one run in this process: `python -m face_assets.automation.execute JOB RUN_ID COMMIT TAGS`."""

import json
import sys
from collections.abc import Mapping

from face_assets.automation.instance import ROOT, open_instance
from face_assets.home import Home
from face_assets.settings import default_home


def execute(job_name: str, run_id: str, commit: str | None, tags: Mapping[str, str]) -> bool:
    """Runs the job, for a commit where one is given; every event goes to the event log. Returns whether it succeeded."""
    sys.path.insert(0, str(ROOT))
    from definitions import defs

    with open_instance(Home(default_home())) as instance:
        job = defs.resolve_job_def(job_name)
        result = job.execute_in_process(instance=instance, run_id=run_id, partition_key=commit, tags=tags, raise_on_error=False)
    return result.success


if __name__ == "__main__":
    sys.exit(0 if execute(sys.argv[1], sys.argv[2], sys.argv[3] or None, json.loads(sys.argv[4])) else 1)
