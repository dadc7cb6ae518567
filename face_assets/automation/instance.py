"""Dagster's instance of a home: where its event log stands, and the dagster.yaml that it reads."""

import os
from pathlib import Path

import dagster as dg

from face_assets.files import write_bytes
from face_assets.home import Home

ROOT = Path(__file__).parents[2]
WORKSPACE = ROOT / "workspace.yaml"


def prepare_dagster_home(home: Home) -> Path:
    """Makes DAGSTER_HOME below the home and names it in this process's environment. Returns it."""
    wanted = (ROOT / "deploy" / "dagster.yaml").read_bytes()
    file = home.dagster / "dagster.yaml"
    if not file.is_file() or file.read_bytes() != wanted:
        write_bytes(file, wanted)
    os.environ["DAGSTER_HOME"] = str(home.dagster)
    os.environ["FACE_ASSETS_HOME"] = str(home.root)
    return home.dagster


def open_instance(home: Home) -> dg.DagsterInstance:
    """The instance with the home's event log."""
    return dg.DagsterInstance.from_config(str(prepare_dagster_home(home)))
