"""Dagster's instance of a home: where its event log stands, and the dagster.yaml that it reads."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import sqlalchemy.exc

from face_assets.core.errors import UserError
from face_assets.core.files import file_lock, write_bytes
from face_assets.core.project_files import DEPLOY, ROOT
from face_assets.storage.home import Home

WORKSPACE = ROOT / "workspace.yaml"


def prepare_dagster_home(home: Home) -> Path:
    """Makes DAGSTER_HOME below the home, where the settings name no other, and names it in this process's environment. Returns it."""
    desired = (DEPLOY / "dagster.yaml").read_bytes()
    file = home.dagster / "dagster.yaml"
    if home.dagster.is_relative_to(home.root) and (not file.is_file() or file.read_bytes() != desired):
        write_bytes(file, desired)
    os.environ["DAGSTER_HOME"] = str(home.dagster)
    os.environ["FACE_ASSETS_HOME"] = str(home.root)
    return home.dagster


@contextmanager
def open_instance(home: Home) -> Iterator[dg.DagsterInstance]:
    """The instance with the home's event log. Raises UserError when that cannot be read or written, as on a full disk."""
    folder = prepare_dagster_home(home)
    try:
        with file_lock(folder / ".opening.lock"):  # two that made the databases at once would leave them with two schema versions
            instance = dg.DagsterInstance.from_config(str(folder))
        with instance:
            yield instance
    except sqlalchemy.exc.DatabaseError as error:
        raise UserError(f"Dagster's event log in {home.dagster} cannot be read or written ({error.orig}): is the disk full?") from error
