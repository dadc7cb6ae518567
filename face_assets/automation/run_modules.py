"""All modules that a run needs which finds its photos known, loaded at import, for processes from which runs are forked.

torch is among them: a commit of one photo needs it, and loading it takes longer than all else that such a photo costs. None of these
starts a thread of its own; those of the linear algebra are made anew in a fork.
"""

import contextlib
import importlib
import sys

from face_assets.core.project_files import ROOT

MODULES = (
    "definitions",
    "face_assets.automation.execute",
    "face_assets.biometrics.plots",
    "face_assets.embedding.training",
    "face_assets.event_log.sqlite_storage",
    "dagster._core.storage.event_log.sql_event_log",
    "dvc.config_schema",
    "dvc.fs",
    "scipy.stats",
    "torch",
    "tritonclient.grpc",
    "upath",
)


def load() -> None:
    """Imports all that there are; a run names the error of one that cannot be imported."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    for name in MODULES:
        with contextlib.suppress(Exception):
            importlib.import_module(name)


load()
